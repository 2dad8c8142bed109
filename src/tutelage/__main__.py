"""`python -m tutelage` is `tutelage`: what torchrun needs."""

from tutelage.cli import main

main()
