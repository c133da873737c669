"""From a trained student to what it is used by: a plain config, ONNX, predictions."""
