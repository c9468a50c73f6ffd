"""What typer does for all commands."""


def test_unknown_commands_and_options_exit_2(lorasent):
    """typer explains them."""
    assert lorasent("trian").returncode == 2
    assert lorasent("train", "--nonsense").returncode == 2
