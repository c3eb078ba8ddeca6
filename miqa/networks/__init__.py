"""What machines and models share: packaged weights, tensors, the ONNX session."""
