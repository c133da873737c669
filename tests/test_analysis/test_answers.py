"""What trained classifiers say of images."""

import argparse

import pytest
import torch
from mmpretrain.models.utils import ClsDataPreprocessor

from pckd_mm.analysis.answers import TeacherOf
from pckd_mm.engine.preflight_model import tell_channel_order
from pckd_mm.models.data_preprocessors import TeacherInputs
from pckd_mm.models.data_preprocessors.normalisation import Normalisation
from pckd_mm.models.data_preprocessors.trained_inputs import TrainedInputs


def test_a_teacher_is_told_the_order_of_channels_that_images_have():
    """It saw RGB, and so does the student where files are read to it."""
    theirs = Normalisation((0.0,) * 3, (2.0,) * 3, order="rgb")
    ours = Normalisation((0.0,) * 3, (1.0,) * 3)  # as the images are read
    inputs = TeacherInputs(ours, TrainedInputs(theirs, "its config", "bgr"))
    algorithm = argparse.Namespace(
        teacher=lambda images, samples, mode: images,
        data_preprocessor=ClsDataPreprocessor(),
        teacher_inputs=inputs,
        load_teacher=lambda: None,
    )
    teacher = TeacherOf(algorithm)
    images = torch.rand(2, 3, 4, 4)
    batch = dict(inputs=images)
    with pytest.raises(ValueError, match="whether both see RGB or BGR depends"):
        teacher.test_step(batch)
    tell_channel_order(teacher, dict(type="Mine"))  # says nothing of it
    with pytest.raises(ValueError, match="whether both see RGB or BGR depends"):
        teacher.test_step(batch)
    tell_channel_order(teacher, dict(type="CIFAR100", pipeline=[]))  # which is RGB
    torch.testing.assert_close(teacher.test_step(batch), images / 2)
    normalised = dict(type="CIFAR100", pipeline=[dict(type="Normalize")])
    with pytest.raises(ValueError, match="pipeline has a Normalize, and the teacher's"):
        tell_channel_order(teacher, normalised)
