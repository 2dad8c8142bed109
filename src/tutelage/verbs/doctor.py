"""`tutelage doctor`: what works on this machine, tried rather than guessed, and what to do where something does not."""

from rich.console import Console

from tutelage.doctor.checks import findings
from tutelage.doctor.finding import Finding
from tutelage.doctor.machine import versions


def doctor() -> list[Finding]:
    """Run every check, print the findings and return them. It repairs nothing and never fails."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(versions())
    results = []
    for finding in findings():
        results.append(finding)
        console.print(f"  {finding.state:<8} {finding.what:<14} {finding.found}")
        if finding.do:
            console.print(f"{'':<26}-> {finding.do}")
    return results
