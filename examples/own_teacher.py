"""Learn from a teacher of another library, on larger images, normalised otherwise.

The teacher gets the student's images as it was trained to see them. Here it is one of
torchvision with random weights: give it yours.
"""

import torch
import torchvision
from letters import CLASSES, loaders
from torch import Tensor

import pckd_mm
from pckd_mm.models import PlainClassifier

GREY = dict(mean=[127.5] * 3, std=[127.5] * 3)
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def pixels(images: Tensor) -> Tensor:
    """Images of -1 to 1 as RGB of 0 to 255, in 32x32 pixels."""
    images = torch.nn.functional.interpolate((images + 1) * 127.5, size=(32, 32))
    return images.repeat(1, 3, 1, 1)


def main(epochs: int = 2, per_class: int = 8) -> float:
    torch.manual_seed(0)
    loader, _ = loaders(per_class)
    teacher = PlainClassifier(
        torchvision.models.resnet18(num_classes=CLASSES),
        data_preprocessor=dict(IMAGENET, to_rgb=False),
    )
    model = pckd_mm.distill(
        torchvision.models.mobilenet_v2(num_classes=CLASSES),
        teacher,
        method="kd",
        input_shape=(3, 32, 32),
        data_preprocessor=dict(GREY, type="mmpretrain.ClsDataPreprocessor"),
        teacher_input_size=64,  # the size of the images that it was trained on
        swap_teacher_channels=False,  # both take RGB
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(epochs):
        model.train()
        for images, labels in loader:
            loss, _ = model.losses_of(pixels(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: {loss.item():.3f}")
    return loss.item()


if __name__ == "__main__":
    main()
