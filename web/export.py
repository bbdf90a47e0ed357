"""A stand-in until `train.export` writes ONNX."""
from pathlib import Path
import io
import torch, onnx
from web.light import round_weights
from fakeface.models import checkpoints

class _Logit(torch.nn.Module):
    def __init__(self, network):
        super().__init__(); self.network=network
    def forward(self, batch):
        return self.network(batch)

def export(name: str) -> bytes:
    model = checkpoints.load(name)
    size = model.preprocessing.size
    buf=io.BytesIO()
    net=_Logit(model.network.to(memory_format=torch.contiguous_format)).eval()
    torch.onnx.export(net, (torch.zeros(2,3,size,size),), buf, input_names=["faces"], output_names=["logits"], dynamic_axes={"faces":{0:"n"},"logits":{0:"n"}}, dynamo=False, opset_version=17)
    return round_weights(onnx.load_from_string(buf.getvalue())).SerializeToString()
