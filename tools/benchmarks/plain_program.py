"""PCKD for classifiers, written down straightforwardly: what step.py compares with.

Float32 with contiguous tensors, nothing compiled. The data loader's workers make four
views of each image, one image at a time; the teacher runs without gradient; the
contrast takes square masks.
"""

from typing import Any, Callable, Iterator, List, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

VIEWS, TEMPERATURE = 4, 4.0
TAU, BASE_TAU = 4.0, 0.07
ALPHA, BETA, PHI = 1.0, 0.05, 20.0
GROWTH, EPOCHS = 1.005, 240


def pad_and_crop(image: np.ndarray) -> np.ndarray:
    """A crop of the image's size behind 4 pixels of zeros on each side."""
    height, width = image.shape[:2]
    top, left = np.random.randint(9, size=2)
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
    return padded[top : top + height, left : left + width]


class FourViews(Dataset):
    """Four normalised views of each image.

    Args:
        read (Callable): Gives image i, uint8 of shape (H, W, 3), in RGB.
        labels (np.ndarray): Labels, shape (N,).
        mean (Sequence[float]): Of the channels, in 0 to 255.
        std (Sequence[float]): Of the channels, in 0 to 255.
        crop (Callable): Gives a crop of an image, drawn anew.
        crop_first (bool): Whether an image is cropped before it is turned, as images of
            any size are. Defaults to False.
    """

    def __init__(
        self,
        read: Callable[[int], np.ndarray],
        labels: np.ndarray,
        mean: Sequence[float],
        std: Sequence[float],
        crop: Callable[[np.ndarray], np.ndarray] = pad_and_crop,
        crop_first: bool = False,
    ) -> None:
        self.read, self.labels, self.crop = read, labels, crop
        self.crop_first = crop_first
        self.mean, self.std = (
            torch.tensor(values).view(3, 1, 1) for values in (mean, std)
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Tuple[Tensor, int]:
        image = self.read(index)
        if np.random.rand() < 0.5:
            image = image[:, ::-1]
        views = []
        for turns in range(VIEWS):
            if self.crop_first:
                view = np.rot90(self.crop(image), turns)
            else:
                view = self.crop(np.rot90(image, turns))
            pixels = torch.from_numpy(np.ascontiguousarray(view)).permute(2, 0, 1)
            views.append((pixels.float() - self.mean) / self.std)
        return torch.stack(views), int(self.labels[index])


def contrast(anchors: Tensor, labels: Tensor) -> Tensor:
    """Supervised contrastive loss of each anchor, shape (M,)."""
    similarity = anchors @ anchors.T / TAU
    others = 1 - torch.eye(len(anchors), device=anchors.device)
    positive = (labels[:, None] == labels[None, :]).float() * others
    similarity = similarity - similarity.max(dim=1, keepdim=True).values.detach()
    total = (similarity.exp() * others).sum(dim=1, keepdim=True)
    log_share = similarity - total.log()
    return -TAU / BASE_TAU * (positive * log_share).sum(dim=1) / positive.sum(dim=1)


class PlainPCKD(nn.Module):
    """Teacher, student and what PCKD trains beside it.

    Args:
        student (nn.Module): Gives a feature map as ``backbone(x)[-1]`` and has the
            classifier ``head.fc``.
        teacher (nn.Module): The same.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        self.student: Any = student
        self.teacher: List[Any] = [teacher]  # no submodule
        networks: Tuple[Any, Any] = student, teacher
        s_width, t_width = (model.head.fc.in_features for model in networks)
        self.align = nn.Sequential(
            nn.Linear(s_width, 16 * t_width),
            nn.BatchNorm1d(16 * t_width),
            nn.ReLU(),
            nn.Linear(16 * t_width, t_width),
        )
        self.s_embed = nn.Linear(s_width, s_width)
        self.t_embed = nn.Linear(s_width, t_width)

    @staticmethod
    def features(model: Any, views: Tensor) -> Tensor:
        return model.backbone(views)[-1].mean(dim=(2, 3))

    def forward(self, views: Tensor, labels: Tensor, epoch: int) -> Tensor:
        """The objective.

        Args:
            views (Tensor): Shape (4 * B, 3, H, W), the views of an image in a row.
            labels (Tensor): Shape (B,).
            epoch (int): Of 240, from 1.

        Returns:
            Tensor: Scalar.
        """
        s_fc, t_fc = self.student.head.fc, self.teacher[0].head.fc
        with torch.no_grad():
            t_feat = self.features(self.teacher[0], views)
            t_logits = t_fc(t_feat[::VIEWS])
        s_feat = self.features(self.student, views)
        s_logits = s_fc(s_feat[::VIEWS])

        sample_loss = F.cross_entropy(s_logits, labels, reduction="none")
        difficulty = (sample_loss / sample_loss.mean()).detach()
        hard = difficulty > GROWTH**epoch
        weight = torch.where(hard, torch.exp(-(difficulty**2)), 1.0)

        divergence = F.kl_div(
            F.log_softmax(s_logits / TEMPERATURE, dim=1),
            F.softmax(t_logits / TEMPERATURE, dim=1),
            reduction="none",
        ).sum(dim=1)
        kd = (weight * divergence).mean() * TEMPERATURE**2

        s_correlation = F.normalize(self.s_embed(s_feat)) @ s_fc.weight.T
        t_correlation = F.normalize(self.t_embed(s_feat)) @ t_fc.weight.T.detach()
        all_labels = labels.repeat_interleave(VIEWS)
        losses = contrast(
            torch.cat([s_correlation, t_correlation]), torch.cat([all_labels] * 2)
        )
        losses = losses[: len(all_labels)] + losses[len(all_labels) :]
        cc = (weight.repeat_interleave(VIEWS) * losses).mean()

        total = sample_loss.mean() + kd + BETA * cc
        total = total + PHI * (
            2 - 2 * F.cosine_similarity(self.align(s_feat), t_feat).mean()
        )
        if s_fc.weight.shape == t_fc.weight.shape:
            s_table, t_table = (
                torch.cat([fc.weight, fc.bias[:, None]], dim=1) for fc in (s_fc, t_fc)
            )
            total = total + ALPHA * F.mse_loss(s_table, t_table.detach())
        return total


class PlainProgram:
    """The training loop around it.

    Args:
        model (PlainPCKD): The model, on its device.
        dataset (FourViews): The images.
        batch_size (int): Images in a batch.
        workers (int): Processes that make the views.
        device (str): Where the networks are.
        optimizer (dict): Arguments of :class:`torch.optim.SGD`.
    """

    def __init__(
        self,
        model: PlainPCKD,
        dataset: FourViews,
        batch_size: int,
        workers: int,
        device: str,
        optimizer: dict,
    ) -> None:
        self.model, self.device = model.train(), device
        self.optimizer = torch.optim.SGD(model.parameters(), **optimizer)
        loader = DataLoader(
            dataset,
            batch_size,
            shuffle=True,
            num_workers=workers,
            drop_last=True,
            persistent_workers=workers > 0,
            pin_memory=device.startswith("cuda"),
        )
        self.batches = self._endless(loader)

    @staticmethod
    def _endless(loader: DataLoader) -> Iterator[Tuple[Tensor, Tensor]]:
        while True:
            yield from loader

    def step(self) -> None:
        """A training step, data loading included."""
        views, labels = (part.to(self.device) for part in next(self.batches))
        loss = self.model(views.flatten(0, 1), labels, EPOCHS // 2)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
