from mmengine.config import read_base

with read_base():
    from ..networks.imagenet import resnet18 as student
    from ..networks.imagenet import resnet34 as teacher

pair = dict(
    architecture=student,
    teacher=teacher,
    # resnet34_8xb32_in1k of MMPretrain's model zoo
    teacher_ckpt=(
        "https://download.openmmlab.com/mmclassification/v0/resnet/"
        "resnet34_8xb32_in1k_20210831-f257d4e6.pth"
    ),
    teacher_config="configs/vanilla/imagenet_resnet34.py",
)
del student, teacher
