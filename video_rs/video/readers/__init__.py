"""One reader for each way of decoding: PyAV, TorchCodec, decord, folders of pictures, animated WebP, memory."""
