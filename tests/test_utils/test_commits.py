"""The commits that runs were started at."""

import subprocess

import pytest

from pckd_mm.utils import commits


@pytest.fixture
def repository(tmp_path):
    """A git repository with one commit; its hash beside it."""

    def git(*args):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", *identity, *args]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        return done.stdout.decode().strip()

    git("init", "-q")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-q", "-m", "one")
    return tmp_path, git("rev-parse", "HEAD")


def test_commit_tells_whether_files_differ_from_it(repository):
    root, commit = repository
    assert commits.commit(root) == commit and len(commit) == 40
    (root / "file").write_text("another")
    assert commits.commit(root) == f"{commit}-dirty"


def test_commit_is_unknown_without_a_repository_or_git(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commits.commit(tmp_path) is None
    commits.note_commit(tmp_path, tmp_path)
    assert commits.noted_commits(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert commits.commit(tmp_path) is None


def test_the_commits_of_a_run_are_those_it_was_started_at(repository, tmp_path):
    """Whoever commits while it is trained changes nothing of it."""
    root, first = repository
    assert commits.noted_commits(tmp_path) is None
    commits.note_commit(tmp_path, root)
    commits.note_commit(tmp_path, root)
    assert commits.noted_commits(tmp_path) == first
    with open(root / "file", "a") as file:
        file.write("more")
    assert commits.noted_commits(tmp_path) == first
    commits.note_commit(tmp_path, root)  # and is resumed
    assert commits.noted_commits(tmp_path) == f"{first}, {first}-dirty"


def test_commits_of_several_runs_are_each_of_theirs():
    """A run that was resumed may have several."""
    assert commits.all_of(["a", "b, a", "unknown"]) == {"a", "b", "unknown"}
