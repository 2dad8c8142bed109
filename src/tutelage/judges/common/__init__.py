"""Shared parts of judges and tutors: types, rubrics, the store of answers, requests to servers."""
