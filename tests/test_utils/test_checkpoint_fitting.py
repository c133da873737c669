"""Names of a checkpoint's tensors and those of a network."""

import pytest
import torch

from pckd_mm.utils.checkpoint import fit_names, fitting_tensors, tensors_of
from tests.builders import classifier

NETWORK = {
    "backbone.conv.weight": torch.zeros(4, 3),
    "backbone.bn.weight": torch.zeros(4),
    "backbone.bn.num_batches_tracked": torch.tensor(0),
    "head.fc.weight": torch.zeros(2, 4),
}


def put(prefix: str, state: dict = NETWORK) -> dict:
    return {prefix + name: value + 1 for name, value in state.items()}


def assert_same(found: dict, expected: dict) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    "prefix",
    [
        "module.",
        "model.",
        "backbone.",
        "student.",
        "architecture.",
        "teacher.",
        "module.architecture.",
        "of.any.depth.",
    ],
)
def test_a_prefix_of_the_checkpoint_is_taken_away(prefix):
    tensors, notes = fit_names(put(prefix), NETWORK)
    assert_same(tensors, put(""))
    assert notes == [f"names without {prefix!r}"]


@pytest.mark.parametrize("prefix", ["architecture.", "model.", "a.b."])
def test_a_prefix_of_the_network_is_given(prefix):
    tensors, notes = fit_names(NETWORK, put(prefix))
    assert tensors.keys() == put(prefix).keys()
    assert notes == [f"names with {prefix!r} in front"]


def test_both_may_have_one():
    tensors, notes = fit_names(put("module."), put("architecture."))
    assert tensors.keys() == put("architecture.").keys()
    assert notes == ["names without 'module.'", "names with 'architecture.' in front"]


def test_names_that_fit_stay():
    assert fit_names(NETWORK, NETWORK) == (NETWORK, [])
    # With another head too, and where nothing fits.
    other = {**NETWORK, "head.fc.weight": torch.zeros(3, 4)}
    assert fit_names(other, NETWORK) == (other, [])
    nothing = {"a.weight": torch.zeros(9)}
    assert fit_names(nothing, NETWORK) == (nothing, [])


def test_few_that_would_fit_by_chance_rename_nothing():
    # One of three weights has the name and shape of one of the network.
    other = {
        "stem.bn.weight": torch.zeros(4),
        "a.weight": torch.zeros(9),
        "b.weight": torch.zeros(8),
        "stem.bn.num_batches_tracked": torch.tensor(0),
    }
    assert fit_names(other, NETWORK) == (other, [])


def test_shapes_tell_which_part_it_is():
    large = {name: torch.zeros(2, *value.shape) for name, value in NETWORK.items()}
    for order in ((large, NETWORK), (NETWORK, large)):
        both = {}
        for prefix, state in zip(("teacher.", "architecture."), order, strict=True):
            both.update(put(prefix, state))
        tensors, notes = fit_names(both, NETWORK)
        assert_same(tensors, put(""))
        other = "teacher" if order[1] is NETWORK else "architecture"
        assert notes[1] == f"without the 4 other tensors, {other}.*"


@pytest.mark.parametrize("order", [("teacher.", "x."), ("x.", "teacher.")])
@pytest.mark.parametrize("name", ["architecture.", "student."])
def test_of_networks_alike_the_student_is_taken(order, name):
    state = {}
    for prefix in (*order, name):
        fill = prefix == name
        state.update({prefix + k: torch.full_like(v, fill) for k, v in NETWORK.items()})
    tensors, notes = fit_names(state, NETWORK)
    assert_same(tensors, put(""))
    assert notes[0] == f"names without {name!r}"


def alike(*prefixes):
    """A file of several networks alike, the n-th of them filled with n."""
    state = {}
    for number, prefix in enumerate(prefixes):
        filled = {k: torch.full_like(v, number) for k, v in NETWORK.items()}
        state.update({prefix + name: value for name, value in filled.items()})
    return state


@pytest.mark.parametrize("prefixes", [("model_t.", "model_s."), ("a.b.", "c.", "a.d.")])
@pytest.mark.parametrize("turned", [False, True])
def test_networks_alike_are_refused_where_nothing_tells_which(prefixes, turned):
    state = alike(*(prefixes[::-1] if turned else prefixes))
    one, other, *more = sorted(prefixes)
    with pytest.raises(ValueError) as error:
        fitting_tensors({"model": state}, NETWORK, "teacher_ckpt x.pth")
    assert str(error.value) == (
        f"teacher_ckpt x.pth fits in {len(prefixes)} ways equally well, names without "
        f"{one!r} or names without {other!r}{', or 1 others' if more else ''}; "
        "expected one network: save the tensors of the one that you mean alone, under "
        "the names that the network has."
    )
    # The advice.
    saved = {k[len(other) :]: v for k, v in state.items() if k.startswith(other)}
    assert fit_names(saved, NETWORK) == (saved, [])


def test_parts_alike_of_the_network_are_refused_too():
    with pytest.raises(ValueError, match="names with 'a.' in front or names with 'b.'"):
        fit_names(NETWORK, alike("a.", "b."))
    tensors, notes = fit_names(NETWORK, alike("teacher.", "architecture."))
    assert notes == ["names with 'architecture.' in front"]
    # The advice.
    assert fit_names(put("b."), alike("a.", "b.")).tensors.keys() == put("b.").keys()


@pytest.mark.parametrize(
    "average", ["ema.", "model_ema.", "ema_model.", "averaged_model.", "swa."]
)
@pytest.mark.parametrize("turned", [False, True])
def test_averages_come_last(average, turned):
    prefixes = (average, "model.")
    tensors, notes = fit_names(alike(*prefixes[:: -1 if turned else 1]), NETWORK)
    assert tensors["head.fc.weight"].unique() == (0 if turned else 1)
    assert notes == [
        "names without 'model.'",
        f"without the 4 other tensors, {average}*",
    ]
    # Alone they are what there is.
    assert fit_names(put(average), NETWORK).tensors.keys() == NETWORK.keys()


@pytest.mark.parametrize("name", ["schema.", "emanet.", "remap_ema2x."])
def test_names_with_such_letters_are_no_averages(name):
    with pytest.raises(ValueError, match="2 ways equally well"):
        fit_names(alike("model.", name), NETWORK)


def test_names_of_torchs_wrappers_go_wherever_they_are():
    state = {
        "module._orig_mod.backbone._orig_mod.conv.weight": torch.ones(4, 3),
        "module._orig_mod.backbone.bn.weight": torch.ones(4),
        "module._orig_mod.backbone.bn.num_batches_tracked": torch.tensor(1),
        "module._orig_mod.head.fc.weight": torch.ones(2, 4),
    }
    tensors, notes = fit_names(state, NETWORK)
    assert tensors.keys() == NETWORK.keys()
    assert notes == ["names without _orig_mod", "names without 'module.'"]


def test_averages_of_the_old_ema_hook_are_left_out():
    old = {f"ema_{name.replace('.', '_')}": value for name, value in NETWORK.items()}
    tensors, notes = fit_names({**NETWORK, **old}, NETWORK)
    assert tensors == NETWORK
    assert notes == ["without the 4 averages named ema_*"]
    # Those of nothing are what they are.
    own = {"ema_x": torch.zeros(1)}
    assert fit_names({**NETWORK, **own}, NETWORK).tensors.keys() == {*NETWORK, "ema_x"}


@pytest.mark.parametrize(
    "keys, note",
    [
        (["state_dict"], None),
        (["model"], "taken from model in the file"),
        (["model_state_dict"], "taken from model_state_dict in the file"),
        (["net"], "taken from net in the file"),
        (["params"], "taken from params in the file"),
        (["student"], "taken from student in the file"),
        (["model_ema"], "taken from model_ema in the file"),
        (["state_dict_ema"], "taken from state_dict_ema in the file"),
        (
            ["state_dict_ema", "state_dict"],
            "taken from state_dict in the file (beside state_dict_ema)",
        ),
        (["model_ema", "model"], "taken from model in the file (beside model_ema)"),
    ],
)
def test_a_state_dict_may_stand_under_known_names(keys, note):
    # Only the one that is taken has the network's tensors.
    other = {"other.weight": torch.zeros(1)}
    file = {
        key: other if key.endswith("ema") and len(keys) > 1 else NETWORK for key in keys
    }
    file["epoch"] = 3
    assert tensors_of(file) == (NETWORK, [note] if note else [])
    assert fitting_tensors(file, NETWORK, "x").tensors == NETWORK


def test_what_has_no_tensors_is_no_state_dict():
    config = {"name": "resnet", "depth": 50}
    for empty in (config, {}):
        file = {"model": empty, "params": NETWORK}
        assert tensors_of(file) == (NETWORK, ["taken from params in the file"])
    # Beside tensors that are the file itself it is not taken either way.
    assert tensors_of({"state_dict": {}}) == ({}, [])


def test_a_name_that_is_not_known_is_told():
    with pytest.raises(
        ValueError, match="x.pth holds its tensors as weights; expected"
    ):
        tensors_of({"weights": NETWORK, "epoch": 1}, "x.pth")
    # The advice.
    assert tensors_of({"state_dict": NETWORK}) == (NETWORK, [])
    assert tensors_of({}) == ({}, [])


def test_real_networks_are_told_apart_in_no_time():
    """A deeper network has all names of a thinner one; of two students the one."""
    from pckd_mm.registry import MODELS

    small, deep = (MODELS.build(classifier(depth)).state_dict() for depth in (8, 20))
    state = {f"architecture.{k}": v for k, v in small.items()}
    state |= {f"teacher.{k}": v for k, v in deep.items()}
    assert fit_names(state, small).tensors.keys() == small.keys()
    found = fit_names(state, deep)
    assert found.tensors.keys() == deep.keys()
    assert torch.equal(found.tensors["head.fc.weight"], deep["head.fc.weight"])
