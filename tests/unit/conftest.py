import pytest
import torch
from hypothesis import settings

# Deterministic and without a time limit per example: the machine is shared.
settings.register_profile("unit", deadline=None, derandomize=True, database=None, max_examples=25)
settings.load_profile("unit")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
