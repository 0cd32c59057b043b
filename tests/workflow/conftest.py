import pytest
from harness import Project


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path / "project")
