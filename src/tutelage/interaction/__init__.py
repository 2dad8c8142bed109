"""Rounds of `tutelage interact`: prompts, rollouts, judging, rewards, experience, updates."""
