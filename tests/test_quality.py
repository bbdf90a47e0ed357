"""Numbers on the input, each against a library or by hand."""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from scipy import ndimage
from scipy.spatial.distance import mahalanobis
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from fakeface.images.decoder import read_picture
from fakeface.images.frames import decode_frame
from fakeface.models.out_of_distribution import Reference
from fakeface.quality import estimate_jpeg_quality, measure, measure_sharpness
from fakeface.types import RGB, Box, Picture
from train.evaluation.out_of_distribution import fit

NOISE = np.random.default_rng(0).integers(0, 256, (200, 160, 3)).astype(np.uint8)
WHOLE = Box(0, 0, 160, 200)


def jpeg(image: RGB = NOISE, **options) -> bytes:
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", **options)
    return file.getvalue()


def quality_of(data: bytes) -> int | None:
    """The estimate for a file."""
    return estimate_jpeg_quality(decode_frame(data).quantisation)


# -- compression --------------------------------------------------------------------------------


def test_every_quality_of_pillow_is_told():
    told = [quality_of(jpeg(NOISE[:16, :16], quality=q)) for q in range(1, 101)]
    assert told == list(range(1, 101))


def test_every_quality_of_opencv_is_told():
    for q in range(1, 101, 9):
        data = cv2.imencode(".jpg", NOISE[:16, :16], [cv2.IMWRITE_JPEG_QUALITY, q])[1].tobytes()
        assert quality_of(data) == q


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"subsampling": 0}, {"optimize": True}, {"comment": b"x"}]
)
def test_how_else_a_jpeg_is_written_does_not_matter(options):
    assert quality_of(jpeg(quality=83, **options)) == 83


def test_grey_and_other_tables():
    assert quality_of(jpeg(NOISE[..., 0], quality=31)) == 31
    fine, coarse = (quality_of(jpeg(qtables="web_" + kind)) for kind in ("maximum", "low"))
    assert fine is not None and coarse is not None
    assert 100 >= fine > coarse > 10


def test_no_jpeg_no_quality():
    png = BytesIO()
    Image.fromarray(NOISE).save(png, "PNG")
    assert quality_of(png.getvalue()) is None
    assert estimate_jpeg_quality([16] * 63) is None


def test_nothing_of_the_file_is_parsed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its table came with the pixels, from the process that decoded it."""
    picture = read_picture(jpeg(NOISE, quality=44))
    monkeypatch.setattr(JpegImageFile, "__init__", lambda *_: pytest.fail("a file was opened"))
    (found,) = measure(picture, [WHOLE])
    assert found.jpeg_quality == 44


# -- sharpness ----------------------------------------------------------------------------------


def test_sharpness_is_the_variance_of_the_laplacian():
    image = NOISE[:128, :128]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float)
    wanted = ndimage.laplace(grey, mode="mirror").var()  # OpenCV mirrors at the border too
    assert measure_sharpness(image, Box(0, 0, 128, 128)) == pytest.approx(wanted, rel=1e-5)


def test_sharpness_is_of_the_face_alone_and_falls_with_blur():
    flat = np.full((200, 160, 3), 90, np.uint8)
    assert measure_sharpness(flat, WHOLE) == 0
    flat[:50] = NOISE[:50]
    assert measure_sharpness(flat, Box(0, 60, 160, 140)) == 0
    soft = [measure_sharpness(cv2.GaussianBlur(NOISE, (0, 0), s), WHOLE) for s in (0.5, 1, 2, 4)]
    assert measure_sharpness(NOISE, WHOLE) > soft[0] > soft[1] > soft[2] > soft[3] > 0


def test_enlarging_does_not_sharpen():
    small = cv2.resize(NOISE, (40, 50), interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (160, 200), interpolation=cv2.INTER_CUBIC)
    own = measure_sharpness(small, Box(0, 0, 40, 50))
    assert own == pytest.approx(measure_sharpness(large, WHOLE), rel=0.5)
    assert own < 0.5 * measure_sharpness(NOISE, WHOLE)


# -- familiarity --------------------------------------------------------------------------------


def reference(rank: int = 3, width: int = 8) -> Reference:
    rng = np.random.default_rng(1)
    mixed = rng.normal(size=(400, width)) @ rng.normal(size=(width, width)) + 5
    return fit(mixed, mixed[:100], rank)


def test_the_distance_is_that_of_mahalanobis():
    own = reference()
    u = own.directions.astype(float)
    shrunk = u @ np.diag(own.variances) @ u.T + own.rest * (np.eye(8) - u @ u.T)
    inverse = np.linalg.inv(np.diag(own.scale) @ shrunk @ np.diag(own.scale))
    x = np.random.default_rng(2).normal(size=(20, 8)).astype(np.float32) * 4
    wanted = [mahalanobis(row, own.mean, inverse) ** 2 for row in x]
    assert own.distance(x) == pytest.approx(wanted, rel=1e-3)


def test_the_fit_is_that_of_scikit_learn():
    rng = np.random.default_rng(3)
    train = rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6)) * [9, 1, 1, 1, 1, 0.1] + 2
    own = fit(train, train[:50], rank=2)
    scaler = StandardScaler().fit(train)
    scaled = scaler.transform(train) * np.sqrt(399 / 400)  # scikit-learn divides by N - 1
    wanted = PCA(2, svd_solver="full").fit(scaled)
    assert own.mean == pytest.approx(scaler.mean_) and own.scale == pytest.approx(scaler.scale_)
    assert own.variances == pytest.approx(wanted.explained_variance_, rel=1e-4)
    assert own.rest == pytest.approx(wanted.noise_variance_, rel=1e-4)
    x = rng.normal(size=(30, 6)) * 5
    inverse = wanted.get_precision()
    far = [mahalanobis(row, np.zeros(6), inverse) ** 2 for row in scaler.transform(x)]
    assert own.distance(x.astype(np.float32)) == pytest.approx(far, rel=1e-3)
    assert (np.diff(own.distances) >= 0).all()
    assert own.distances == pytest.approx(np.sort(own.distance(train[:50])))


def test_a_number_that_never_changes_tells_nothing():
    train = np.random.default_rng(4).normal(size=(50, 4))
    train[:, 2] = 7
    own = fit(train, train, rank=2)
    assert np.isfinite(own.distances).all()


def test_familiarity_is_the_share_of_faces_farther_away():
    own = Reference(
        mean=np.array([0, 3], np.float32),
        scale=np.array([1, 2], np.float32),
        directions=np.eye(2, 1, dtype=np.float32),
        variances=np.array([4.0], np.float32),
        rest=1.0,
        distances=np.array([1, 1, 4, 9], np.float32),
    )
    x = np.array([[0, 3], [2, 3], [0, 6], [4, 3], [0, 9], [9, 21]], np.float32)
    assert own.distance(x).tolist() == [0, 1, 2.25, 4, 9, 101.25]
    assert own.score(x).tolist() == [1, 0.5, 0.5, 0.25, 0, 0]


def test_a_reference_that_does_not_fit_together_is_refused():
    own = reference()
    parts = {name: getattr(own, name) for name in Reference.__slots__}
    for wrong in (
        {"mean": own.mean[:5]},
        {"scale": own.scale[:5]},
        {"scale": own.scale * 0},
        {"variances": own.variances[:2]},
        {"variances": own.variances * 0},
        {"rest": 0.0},
        {"distances": own.distances[:0]},
        {"distances": own.distances[::-1]},
    ):
        with pytest.raises(ValueError, match="reference"):
            Reference(**{**parts, **wrong})


# -- what people are told -----------------------------------------------------------------------


def check(image: RGB, box: Box, jpeg_quality: int | None = None, familiarity: float | None = None):
    """The quality of one face in a picture of those pixels that came as such a file."""
    data = b"" if jpeg_quality is None else jpeg(NOISE[:16, :16], quality=jpeg_quality)
    table = decode_frame(data).quantisation if data else ()
    known = None if familiarity is None else np.array([familiarity], np.float32)
    (found,) = measure(Picture(data, "", image, quantisation=table), [box], known)
    return found


def test_a_good_face_has_no_warning():
    found = check(NOISE, Box(10, 20, 100, 120), 90, 0.5)
    assert (found.face_side, found.jpeg_quality, found.familiarity) == (100, 90, 0.5)
    assert found.sharpness == measure_sharpness(NOISE, Box(10, 20, 100, 120))
    assert found.warnings == ()
    plain = check(NOISE, WHOLE)
    assert (plain.jpeg_quality, plain.familiarity, plain.warnings) == (None, None, ())


@pytest.mark.parametrize(
    ("image", "box", "quality", "familiarity", "word"),
    [
        (NOISE, Box(0, 0, 79, 100), 90, 0.5, "only 79 pixels"),
        (NOISE // 50 + 90, WHOLE, 90, 0.5, "blurred"),
        (NOISE, WHOLE, 49, 0.5, "quality about 49"),
        (NOISE, WHOLE, 90, 0.009, "unlike those"),
    ],
)
def test_each_fault_has_its_sentence(image, box, quality, familiarity, word):
    (warning,) = check(image, box, quality, familiarity).warnings
    assert word in warning
    assert warning[0].isupper() and warning.endswith(".")


def test_each_face_has_its_own_numbers():
    boxes = [Box(0, 0, 50, 60), WHOLE]
    known = np.array([0.25, 0.75], np.float32)
    small, large = measure(Picture(b"", "", NOISE), boxes, known)
    assert (small.face_side, small.familiarity) == (50, 0.25)
    assert (large.face_side, large.familiarity) == (160, 0.75)
