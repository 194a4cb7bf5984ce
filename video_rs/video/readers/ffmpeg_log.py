"""Counting the errors in FFmpeg's log: the only sign of damage that TorchCodec and decord leave.

FFmpeg's decoders conceal damage. PyAV shows the flags of such a frame, but TorchCodec and decord only give the frame.
All of them write to FFmpeg's log what they conceal.
"""

import atexit
import ctypes

# FFmpeg's levels, of which lower ones are worse.
_AV_LOG_ERROR = 16
_AV_LOG_VERBOSE = 40

# "concealing 12 DC, 12 AC, 12 MV errors in P frame" is logged as an information, not as an error.
_CONCEALING = b"concealing"

_LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class ErrorCounter:
    """Counts the errors and the concealed damage that FFmpeg logs, in any thread of this process; prints nothing.

    The errors of several readers are counted together. The count therefore says only that there is a reason to look
    again.

    Args:
        library: a loaded library that is linked with FFmpeg; the log is that of the FFmpeg that it uses.

    Attributes:
        count: number of messages so far.

    Raises:
        AttributeError: there is no FFmpeg behind the library.
    """

    def __init__(self, library: ctypes.CDLL):
        self.count = 0
        self._callback = _LogCallback(self._on_message)  # kept, since FFmpeg does not keep it alive

        install = library.av_log_set_callback
        install.argtypes = [ctypes.c_void_p]
        install.restype = None
        install(ctypes.cast(self._callback, ctypes.c_void_p))

        # Decoding threads may log until the process ends, but no Python may be called when the interpreter has gone.
        atexit.register(install, None)

    def _on_message(self, _source: int | None, level: int, text: int | None, _values: int | None) -> None:
        if level >= _AV_LOG_VERBOSE:
            return
        is_concealing = bool(text) and ctypes.string_at(text, len(_CONCEALING)) == _CONCEALING
        if level <= _AV_LOG_ERROR or is_concealing:
            self.count += 1
