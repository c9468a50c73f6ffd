"""The stages of long work, as whoever shows them hears of them."""

from lorasent.scoring import progress


def test_a_stage_counts_what_is_answered_inside():
    """A stage inside another has its own count; where nobody listens, nothing happens."""
    heard = []
    with progress.shown_by(lambda *said: heard.append(said)):
        progress.advance(9)
        with progress.stage("reviews", 5):
            progress.advance(2)
            with progress.stage("loading"):
                progress.advance(1)
            progress.advance(3)
        progress.advance(9)
    with progress.stage("unheard", 5):
        progress.advance(5)
    assert heard == [
        ("reviews", 0, 5),
        ("reviews", 2, 5),
        ("loading", 0, None),
        ("loading", 1, None),
        ("reviews", 5, 5),
    ]
