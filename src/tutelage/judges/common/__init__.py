"""What judges and tutors share: types, rubrics, the store of verdicts, how a server is asked."""
