"""The BabyLM challenge: tracks and their rules, word ledgers, milestones, the table of its tasks."""
