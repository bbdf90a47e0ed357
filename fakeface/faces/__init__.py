"""RGB -> faces, by one protocol, whichever detector looks.

`open_detector` gives YuNet where its file can be had, else MTCNN, whose files come with a package
of the index and need no network. Haar, which came before MTCNN, is used where it is asked for.
"""

from fakeface.faces.boxes import MIN_FACE, is_judgeable, largest
from fakeface.faces.detector import Detector, DetectorSource, open_detector
from fakeface.faces.haar import Haar
from fakeface.faces.mtcnn import MTCNN
from fakeface.faces.yunet import YuNet, yunet_path

__all__ = [
    "MIN_FACE",
    "MTCNN",
    "Detector",
    "DetectorSource",
    "Haar",
    "YuNet",
    "is_judgeable",
    "largest",
    "open_detector",
    "yunet_path",
]
