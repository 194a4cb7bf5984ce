"""Many runs and what they say together: the additive study, scaling, the frontier of speed and accuracy."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from video_rs.studies.recommendation import Recommendation, recommend

__all__ = ["Recommendation", "recommend"]


def __getattr__(name: str) -> object:
    # With the first use: importing torch takes seconds.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from video_rs.studies import recommendation

    return getattr(recommendation, name)
