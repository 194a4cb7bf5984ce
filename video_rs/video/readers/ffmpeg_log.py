"""How often the FFmpeg inside another package has complained: the only sign of damage that TorchCodec and decord leave.

FFmpeg's decoders conceal damage. PyAV shows the flags of such a frame, the two others only give the frame; but all of
them write to FFmpeg's log what they conceal.
"""

import atexit
import ctypes

_ERROR = 16  # AV_LOG_ERROR; lower is worse
_DETAILS = 40  # AV_LOG_VERBOSE: from here on there is nothing to complain of
# "concealing 12 DC, 12 AC, 12 MV errors in P frame" is logged as an information, not as an error.
_CONCEALED = b"concealing"

_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class ErrorCounter:
    """Counts what FFmpeg logs of damage, in any thread of this process; nothing is printed.

    The count may include the complaints of other readers: it only tells when there is a reason to look again.

    Args:
        library: a loaded library that is linked with FFmpeg; the FFmpeg that it uses is the one that is heard.

    Raises:
        AttributeError: there is no FFmpeg behind the library.
    """

    def __init__(self, library: ctypes.CDLL):
        self.count = 0
        self._callback = _Callback(self._hear)  # FFmpeg does not keep it alive
        install = library.av_log_set_callback
        install.argtypes, install.restype = [ctypes.c_void_p], None
        install(ctypes.cast(self._callback, ctypes.c_void_p))
        # Decoding threads may log until the process ends, but no Python may be called when the interpreter has gone.
        atexit.register(install, None)

    def _hear(self, _source: int | None, level: int, text: int | None, _values: int | None) -> None:
        if level >= _DETAILS:
            return
        concealed = bool(text) and ctypes.string_at(text, len(_CONCEALED)) == _CONCEALED
        if level <= _ERROR or concealed:
            self.count += 1
