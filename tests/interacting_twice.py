"""`python interacting_twice.py OVERRIDE...` under torchrun: a run of PPO with one thread a process."""

import sys

import torch

from tutelage.verbs.interact import interact

torch.set_num_threads(1)
interact("ppo_toy", sys.argv[1:], quiet=True)
