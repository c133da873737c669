"""Draws of a data loader's workers, as the runner starts them."""

import numpy as np
import torch
from mmengine.runner import Runner
from torch.utils.data import Dataset

from pckd_mm.utils.randomness import reseed


class Draws(Dataset):
    """What numpy draws in a worker."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return np.random.randint(2**31)


def loader(seed):
    return Runner.build_dataloader(
        dict(
            dataset=Draws(),
            sampler=dict(type="DefaultSampler", shuffle=False),
            batch_size=1,
            num_workers=2,
            persistent_workers=False,
            worker_init_fn=dict(type="pckd_mm.seed_worker"),
            collate_fn=dict(type="default_collate"),
        ),
        seed=seed,
    )


def epoch(loader, *entropy):
    reseed(*entropy)
    return torch.cat(list(loader)).tolist()


def test_epochs_differ_and_repeat_after_a_restart():
    first = loader(seed=0)
    epochs = [epoch(first, 0, number) for number in range(3)]
    assert len({draw for draws in epochs for draw in draws}) == 12
    # A run that starts over in the third epoch, with loaders of its own.
    assert epoch(loader(seed=0), 0, 2) == epochs[2]
    assert epoch(loader(seed=0), 1, 2) != epochs[2]
