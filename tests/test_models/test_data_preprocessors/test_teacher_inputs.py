"""A batch of the student's as the teacher's own data preprocessor would give it."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.structures import DataSample

from pckd_mm.models.data_preprocessors import (
    RotatedViewsDataPreprocessor,
    TeacherInputs,
)
from pckd_mm.models.data_preprocessors.normalisation import normalisation_of
from pckd_mm.models.data_preprocessors.teacher_inputs import ragged_sizes, resize
from pckd_mm.models.data_preprocessors.trained_inputs import AS_STUDENT, TrainedInputs
from pckd_mm.utils.input_size import InputSize

STUDENT = dict(mean=[129.3, 124.1, 112.4], std=[68.2, 65.4, 70.4])
TEACHERS = dict(
    same=STUDENT,
    imagenet=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    half=dict(mean=[127.5] * 3, std=[127.5] * 3),
    one_number=dict(mean=[127.5], std=[127.5]),
    raw=dict(),
)


def inputs_of(student: dict, teacher: dict, order=AS_STUDENT, size=None, **settings):
    trained = TrainedInputs(normalisation_of(teacher), "X", order, size, "Y")
    return TeacherInputs(normalisation_of(student), trained, **settings)


def pixels(size: int = 12, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (5, channels, size, size)
    return torch.randint(256, shape, generator=generator, dtype=torch.uint8)


def normalised(settings: dict, images: torch.Tensor) -> torch.Tensor:
    return ClsDataPreprocessor(**settings)(dict(inputs=images))["inputs"]


# --- the numbers ------------------------------------------------------------------


@pytest.mark.parametrize("to_rgb", [(False, False), (True, True), (True, False)])
@pytest.mark.parametrize("name", TEACHERS)
def test_as_the_teachers_own_preprocessor(name, to_rgb):
    student = dict(STUDENT, to_rgb=to_rgb[0])
    teacher = dict(TEACHERS[name], to_rgb=to_rgb[1])
    module = inputs_of(student, teacher)
    module.tell_channel_order("bgr")
    images = pixels()
    before = normalised(student, images)
    found = module(before)
    wanted = normalised(teacher, images)
    # Raw pixels go to 255, where float32 has fewer digits behind the point.
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=2e-5)
    if name == "same" and to_rgb[0] == to_rgb[1]:
        assert found is before


def test_from_raw_pixels():
    images = pixels()
    found = inputs_of({}, TEACHERS["imagenet"])(normalised({}, images))
    wanted = normalised(TEACHERS["imagenet"], images)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_border_of_rotated_views_is_black_for_both():
    # The crop pads with pixels of zero, before normalisation.
    settings = dict(num_views=4, crop_padding=6, flip_prob=0.5)
    views = []
    for mean in (STUDENT, TEACHERS["half"]):
        torch.manual_seed(3)
        preprocessor = RotatedViewsDataPreprocessor(**settings, **mean)
        views.append(preprocessor(dict(inputs=pixels()), training=True)["inputs"])
    black = (0 - 127.5) / 127.5
    assert (views[1] == black).float().mean() > 0.3
    found = inputs_of(STUDENT, TEACHERS["half"])(views[0])
    torch.testing.assert_close(found, views[1], rtol=1e-6, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last) == views[
        0
    ].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [(24, 24), (6, 6), (9, 17)])
def test_resized_as_the_teachers_own_images(size):
    images = pixels()
    found = inputs_of(STUDENT, TEACHERS["half"], size=size)(normalised(STUDENT, images))
    wanted = F.interpolate(
        normalised(TEACHERS["half"], images),
        size,
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    assert found.shape == (5, 3, *size)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-5)


def test_shrinking_averages():
    # Every fourth column is white: a quarter, wherever a smaller image looks.
    lines = (torch.arange(16) % 4 == 0).float().expand(16, 16)
    small = resize(lines[None, None], (4, 4))[0, 0, :, 1:-1]
    torch.testing.assert_close(small, torch.full_like(small, 0.25))


def test_same_size_is_no_resize():
    images = torch.rand(2, 3, 8, 8)
    assert resize(images, [8, 8]) is images
    assert inputs_of(STUDENT, STUDENT, size=(8, 8))(images) is images


def test_one_channel_has_no_order():
    images = pixels(channels=1)
    student, teacher = dict(mean=[78.5], std=[96.9]), dict(mean=[127.5], std=[127.5])
    for order in ("gray", None):
        module = inputs_of(student, dict(teacher, to_rgb=True), order)
        found = module(normalised(student, images))
        torch.testing.assert_close(found, normalised(teacher, images))
    same = inputs_of(student, dict(student, to_rgb=True), None)
    batch = normalised(student, images)
    assert same(batch) is batch


def test_padded_images_keep_the_teachers_value():
    images = normalised(STUDENT, pixels())
    sizes = [(12, 12), (8, 12), (12, 5), (7, 6), (1, 1)]
    padded = torch.zeros_like(images)
    for row, (height, width) in enumerate(sizes):
        padded[row, :, :height, :width] = images[row, :, :height, :width]
    before = padded.clone()
    module = inputs_of(STUDENT, dict(TEACHERS["half"], pad_value=0.5))
    found, whole = module(padded, sizes), module(images)
    for row, (height, width) in enumerate(sizes):
        inner = found[row, :, :height, :width]
        assert torch.equal(inner, whole[row, :, :height, :width])
        assert (found[row, :, height:] == 0.5).all()
        assert (found[row, :, :, width:] == 0.5).all()
    assert torch.equal(padded, before)


# --- how it runs ------------------------------------------------------------------


def test_half_precision_is_not_computed_in():
    images = normalised(STUDENT, pixels())
    module = inputs_of(STUDENT, TEACHERS["imagenet"], size=(24, 24))
    wanted = module(images)
    module.half()
    assert module.scale.dtype == torch.float32
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(module(images), wanted)
    rounded = images.bfloat16()
    found = module(rounded)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, module(rounded.float()).bfloat16())
    double = module(images.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), wanted)


def test_no_state():
    module = inputs_of(STUDENT, TEACHERS["half"])
    assert module.state_dict() == {} and list(module.parameters()) == []
    copied = copy.deepcopy(module)
    assert torch.equal(copied.scale, module.scale)


def test_moves_to_devices():
    module = inputs_of(STUDENT, TEACHERS["half"]).to("meta")
    assert module.scale.device.type == module.shift.device.type == "meta"
    module.tell_channel_order("rgb")
    assert module.scale.device.type == "meta"


# --- order of channels ------------------------------------------------------------

RGB, AS_READ = dict(STUDENT, to_rgb=True), dict(STUDENT, to_rgb=False)


@pytest.mark.parametrize(
    "student, teacher, images, theirs, swaps",
    [
        # Preprocessors of one run see the same images.
        (RGB, RGB, None, AS_STUDENT, False),
        (AS_READ, AS_READ, None, AS_STUDENT, False),
        (RGB, AS_READ, None, AS_STUDENT, True),
        (RGB, AS_READ, "bgr", AS_STUDENT, True),
        (AS_READ, RGB, "bgr", AS_STUDENT, True),
        (RGB, AS_READ, "rgb", AS_STUDENT, True),
        # Those of CIFAR's files are RGB already, whatever an ImageNet teacher's says.
        (AS_READ, RGB, "rgb", AS_STUDENT, False),
        # A teacher of another run: pickles here, image files there, and so on.
        (AS_READ, AS_READ, "rgb", "rgb", False),
        (AS_READ, AS_READ, "rgb", "bgr", True),
        (AS_READ, AS_READ, "bgr", "rgb", True),
        (AS_READ, RGB, "rgb", "bgr", False),
        (AS_READ, RGB, "bgr", "bgr", True),
        (RGB, AS_READ, "bgr", "rgb", False),
        (RGB, AS_READ, "bgr", "bgr", True),
        (RGB, AS_READ, None, "rgb", False),
        (RGB, AS_READ, None, "bgr", True),
        (RGB, RGB, None, None, False),
        (RGB, RGB, "bgr", "bgr", False),
        (RGB, RGB, "bgr", None, False),
        # One of them trained on BGR, by mistake or not.
        (RGB, RGB, "bgr", "rgb", True),
        (RGB, RGB, "rgb", "bgr", True),
        # Equal settings are taken as meant alike where more is not known.
        (AS_READ, AS_READ, None, "rgb", False),
        (AS_READ, AS_READ, "bgr", None, False),
        # timm's cards, which speak of no data set.
        (AS_READ, RGB, "rgb", None, False),
        (AS_READ, RGB, "bgr", None, True),
        # These cannot be told.
        (AS_READ, RGB, None, AS_STUDENT, None),
        (AS_READ, RGB, None, None, None),
        (AS_READ, RGB, None, "bgr", None),
        (RGB, AS_READ, "bgr", None, None),
        # There is none.
        (AS_READ, RGB, "gray", AS_STUDENT, False),
        (RGB, AS_READ, "gray", None, False),
    ],
)
def test_rule(student, teacher, images, theirs, swaps):
    module = inputs_of(student, teacher, theirs)
    if images is not None:
        module.tell_channel_order(images)
    assert module.swaps is swaps


def test_order_that_cannot_be_told():
    module = inputs_of(AS_READ, RGB, None)
    images = torch.rand(2, 3, 4, 4)
    assert module.converts
    with pytest.raises(ValueError, match="RGB or BGR .* set swap_teacher_channels=Tr"):
        module(images)
    # The advice, and the run's data set.
    told = inputs_of(AS_READ, RGB, None, swap_channels=False)
    assert told(images) is images
    told = inputs_of(AS_READ, RGB, None, swap_channels=True)
    told.tell_channel_order("rgb")  # what is given stays
    wanted = told(images)
    module.tell_channel_order("bgr")
    assert torch.equal(module(images), wanted)


def test_swap_without_a_normalisation():
    module = TeacherInputs(normalisation_of(STUDENT), TrainedInputs(), True)
    images = normalised(STUDENT, pixels())
    wanted = normalised(dict(STUDENT, to_rgb=True), pixels())
    torch.testing.assert_close(module(images), wanted, rtol=1e-6, atol=1e-5)


def test_student_of_unknown_normalisation(log):
    trained = TrainedInputs(normalisation_of(STUDENT), "X", size=(4, 4), sized_by="Y")
    module = TeacherInputs(None, trained)
    images = torch.rand(2, 3, 4, 4)
    assert module(images) is images and not module.converts
    module.tell()
    (line,) = log()
    assert "student's images are normalised is not known" in line
    assert "as X says. Set data_preprocessor" in line


# --- the log ----------------------------------------------------------------------


def test_lines_of_the_log(log):
    TeacherInputs(normalisation_of(STUDENT), TrainedInputs()).tell()
    inputs_of(AS_READ, RGB, None).tell()  # an error, if it stays so
    assert log() == []
    inputs_of(STUDENT, STUDENT).tell()
    assert log() == ["The teacher's images are normalised as the student's, as X says."]
    inputs_of(STUDENT, TEACHERS["half"]).tell()
    line = log()[-1]
    assert "normalised by mean [127.5, 127.5, 127.5]" in line and "as X says" in line
    assert "the student's by mean [129.3, 124.1, 112.4]" in line
    module = inputs_of(RGB, RGB, None)
    module.tell_channel_order("bgr")
    assert len(log()) == 2
    module = inputs_of(AS_READ, RGB, None)
    module.tell_channel_order("bgr")
    module.tell_channel_order("bgr")
    assert len(log()) == 3 and "reverse order" in log()[-1]


def test_size_is_said_once(log):
    module = inputs_of(STUDENT, STUDENT, size=(224, 224))
    for _ in range(2):
        module(torch.rand(1, 3, 32, 32))
    (line,) = log()
    assert "at 224 x 224 pixels, as Y says, the student at 32 x 32" in line
    assert "49 times" in line and "teacher_input_size='same'" in line


# --- sizes in a batch -------------------------------------------------------------


def test_ragged_sizes():
    def samples(*shapes):
        return [DataSample(metainfo=dict(img_shape=shape)) for shape in shapes]

    images = torch.zeros(2, 3, 8, 9)
    assert ragged_sizes(samples((8, 5), (6, 9, 3)), images) == [(8, 5), (6, 9)]
    assert ragged_sizes(samples((8, 9), (8, 9)), images) is None
    # Left behind by a transform that does not keep it up to date.
    assert ragged_sizes(samples((4, 5), (6, 3)), images) is None
    assert ragged_sizes([DataSample(), DataSample()], images) is None
    assert ragged_sizes(samples((8, 9)), images) is None


def test_size_for_a_teacher_that_does_not_take_the_students(log):
    asked = []

    def takes(shape) -> bool:
        asked.append(shape)
        return shape[1] > 8

    def module() -> TeacherInputs:
        trained = TrainedInputs(spare=InputSize((16, 12), "Y"))
        return TeacherInputs(normalisation_of(STUDENT), trained, takes=takes)

    images = torch.rand(2, 3, 8, 8)
    small = module()
    assert [small(images).shape[2:] for _ in range(2)] == [(16, 12)] * 2
    assert asked == [(3, 8, 8)] and "16 x 12 pixels, as Y says" in log()[-1]
    large = torch.rand(2, 3, 9, 9)
    assert module()(large) is large
    # One whose size is known is not tried.
    TeacherInputs(None, TrainedInputs(size=(4, 4)), takes=takes)(images)
    assert len(asked) == 2
