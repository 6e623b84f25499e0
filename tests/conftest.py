"""What every suite shares."""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their place: keys made at import differ between the workers of a run."""
    return argname if isinstance(val, bytes) else None
