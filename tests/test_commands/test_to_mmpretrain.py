"""Checkpoints of torchvision and timm, converted by the tool; its advice, followed."""

import re
import shlex
import sys

import pytest
import torch
from mmengine.config import Config
from torchvision.models import get_model, mobilenet_v3_small

from pckd_mm.commands import main
from pckd_mm.utils.checkpoint import load_exactly, read_checkpoint
from pckd_mm.utils.conversion import build_classifier
from tests import conversions, zoo
from tests.builders import ROOT
from tests.zoo import TIMM, TORCHVISION

COMMAND = ["convert", "to_mmpretrain"]


@pytest.fixture
def convert(tmp_path, capsys):
    """Convert a case's network by its config, whose settings may be changed."""

    def run(case, *args, state=None, backbone=None, head=None):
        cfg = case.config()
        cfg.backbone.update(backbone or {})
        cfg.head.update(head or {})
        Config(dict(model=cfg)).dump(tmp_path / "network.py")
        state = conversions.randomised(case).state_dict() if state is None else state
        torch.save(state, tmp_path / "published.pth")
        paths = [str(tmp_path / name) for name in ("published.pth", "out.pth")]
        main([*COMMAND, *paths, "--config", str(tmp_path / "network.py"), *args])
        return capsys.readouterr().out

    return run


@pytest.fixture
def refuse(convert, capsys, tmp_path):
    """The message for a checkpoint that is refused; nothing is written."""

    def run(*args, **options):
        with pytest.raises(SystemExit) as stop:
            convert(*args, **options)
        assert stop.value.code == 1
        assert not (tmp_path / "out.pth").exists()
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        return message

    return run


def advised(message):
    """Each of the options of the command line that a message gives."""
    found = re.findall(r"(--cfg-options(?: model\.[\w.]+=[\w.-]+)+)", message)
    return [options.rstrip(".").split() for options in found]


def test_file_that_is_written(convert, tmp_path):
    case = TORCHVISION["mobilenet_v3_small"]
    out = convert(case)
    assert out == (
        f"{tmp_path / 'out.pth'}: names, shapes and known settings fit; add --network "
        "LIBRARY/NAME to compare the logits\n"
    )
    content = read_checkpoint(str(tmp_path / "out.pth"))
    assert content["meta"]["converted_from"] == "published.pth"
    assert content["meta"]["network"].endswith("network.py")
    classifier = build_classifier(case.config()).eval()
    load_exactly(classifier, content["state_dict"], "out.pth")
    published = conversions.randomised(case)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            classifier(image), published(image), rtol=1e-4, atol=1e-4
        )


def test_config_of_a_library(tmp_path, capsys):
    published = mobilenet_v3_small()
    paths = [str(tmp_path / name) for name in ("published.pth", "out.pth")]
    torch.save({"model": published.state_dict(), "epoch": 3}, paths[0])
    name = "mmpretrain::mobilenet_v3/mobilenet-v3-small_8xb128_in1k.py"
    main([*COMMAND, *paths, "--config", name])
    out = capsys.readouterr().out
    assert out.startswith(f"{paths[1]}: taken from model in the file; names, shapes ")


def test_comparison_of_logits(convert):
    case = TORCHVISION["mobilenet_v3_small"]
    out = convert(case, "--network", "torchvision/mobilenet_v3_small")
    assert "the logits are those of torchvision/mobilenet_v3_small, up to " in out
    # By the names of an older version.
    state = {k: v for k, v in case.build().state_dict().items() if "batches" not in k}
    convert(case, "--network", "torchvision/mobilenet_v3_small", state=state)


class TestAdviceFollowed:
    def test_settings(self, convert, refuse):
        case = TORCHVISION["efficientnet_b0"]
        changed = dict(conv_cfg=zoo.SAME, norm_cfg=dict(type="BN", eps=1e-3))
        (options,) = advised(refuse(case, backbone=changed))
        out = convert(
            case,
            *options,
            "--network=torchvision/efficientnet_b0",
            backbone=changed,
        )
        assert "the logits are those of torchvision/efficientnet_b0" in out

    def test_classes(self, convert, refuse):
        case = TORCHVISION["mobilenet_v3_small"]
        (options,) = advised(refuse(case, head=dict(num_classes=5)))
        assert options[1] == f"model.head.num_classes={zoo.CLASSES}"
        convert(case, *options, head=dict(num_classes=5))

    def test_head(self, convert, refuse):
        case = TORCHVISION["vit"]
        message = refuse(case, head=dict(hidden_dim=24))
        assert (
            "torchvision's ViT, whose linear layers in the head are 1, those of the "
            "config's VisionTransformerClsHead 2; expected as many: give --cfg-options "
            "model.head.hidden_dim=None, and" in message
        )
        (options,) = advised(message)
        convert(case, *options, head=dict(hidden_dim=24))

    def test_kinds_of_the_same_names(self, convert, refuse, tmp_path):
        pytest.importorskip("timm")
        case = TIMM["efficientnet_b0"]
        wrong = dict(conv_cfg=zoo.SAME, norm_cfg=dict(type="BN", eps=1e-3))
        message = refuse(case, "--network=timm/efficientnet_b0", backbone=wrong)
        assert "the config's network differs from them by up to" in message
        (options,) = advised(message)
        args = [*options, "--network=timm/efficientnet_b0"]
        assert "the logits are those" in convert(case, *args, backbone=wrong)
        out = convert(case, backbone=wrong)  # nothing tells that it is the wrong one
        assert (
            "networks of the same names compute otherwise, for which you would give "
            f"{' '.join(options)}; add --network" in out
        )

    def test_either_of_two(self, convert, refuse):
        pytest.importorskip("timm")
        case = TIMM["mobilenetv3_small_050"]
        wrong = dict(norm_cfg=dict(type="BN", eps=1e-3))
        right, of_tensorflow = advised(refuse(case, backbone=wrong))
        args = ["--network=timm/mobilenetv3_small_050"]
        message = refuse(case, *of_tensorflow, *args, backbone=wrong)
        assert advised(message)[0][1:] == [*right[1:], "model.backbone.conv_cfg=None"]
        convert(case, *right, *args, backbone=wrong)


@pytest.mark.parametrize(
    ("kind", "antialiased"),
    [("resnet18", "resnetblur18"), ("efficientnet_b0", "efficientnet_blur_b0")],
)
def test_antialiased_networks_are_named(kind, antialiased, convert, refuse, tmp_path):
    """They have the names of the plain ones, and nothing in the file tells."""
    pytest.importorskip("timm")
    case = TIMM[kind]
    words = f"{antialiased}.*have these names too and are none of mmpretrain's"
    assert re.search(f"; timm's anti.*{words}.*; add --network", convert(case))
    case = case._replace(build=zoo.timm_model(antialiased))
    state = conversions.randomised(case).state_dict()
    assert re.search(words, convert(case, state=state))
    # The advice.
    (tmp_path / "out.pth").unlink()
    message = refuse(case, f"--network=timm/{antialiased}", state=state)
    assert "differs from them by up to" in message
    assert re.search(words, message)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("resnet18", "no network resnet18; expected its library and its name, such as"),
        ("keras/resnet18", "no network keras/resnet18; expected its library"),
        (
            "torchvision/resnet19",
            "torchvision cannot build resnet19 .*; expected the name",
        ),
        (
            "torchvision/resnet34",
            "does not fit the ResNet in .* instead of torchv",
        ),
    ],
)
def test_wrong_network(network, words, refuse):
    message = refuse(TORCHVISION["resnet18"], "--network", network)
    assert re.search(words, message)


def test_network_of_a_library_that_is_not_there(refuse, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    message = refuse(TORCHVISION["resnet18"], "--network", "timm/resnet18")
    assert "cannot be built without timm; expected it to be installed: pip" in message


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("none.py", "There is no config none.py; expected a file, or a config of the"),
        ("mmpretrain::none.py", "config mmpretrain::none.py cannot be built"),
        ("empty.py", "cannot be built .*no attribute 'model'"),
        ("wrong.py", "The network of the config wrong.py cannot be built .*ResNat"),
        ("other.py", "The config's model is a GlobalAveragePooling; expected an Image"),
    ],
)
def test_wrong_config(config, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.py").write_text("data = 1\n")
    (tmp_path / "wrong.py").write_text(
        "model = dict(type='ImageClassifier', backbone=dict(type='ResNat'))\n"
    )
    (tmp_path / "other.py").write_text("model = dict(type='GlobalAveragePooling')\n")
    torch.save(dict(a=torch.ones(1)), "a.pth")
    with pytest.raises(SystemExit) as stop:
        main([*COMMAND, "a.pth", "out.pth", "--config", config])
    assert stop.value.code == 1
    assert re.search(words, capsys.readouterr().err)


def commands_of_the_docs():
    text = (ROOT / "docs" / "teachers.md").read_text()
    return re.findall(r"^pckd convert (to_mmpretrain .*)$", text, re.MULTILINE)


@pytest.mark.parametrize("command", commands_of_the_docs())
def test_commands_of_the_docs(command, tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs" / "teachers.md").read_text()
    config = re.search(r"```python\n(_base_.*?)```", text, re.DOTALL)[1]
    (tmp_path / "teacher.py").write_text(config)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    _, checkpoint, *args = shlex.split(command)
    network = get_model(args[-1].removeprefix("torchvision/"), weights=None)
    torch.save(network.state_dict(), checkpoint)
    main([*COMMAND, checkpoint, *args])
    assert f"{args[0]}: the logits are those of {args[-1]}" in capsys.readouterr().out
    assert (tmp_path / args[0]).is_file()
