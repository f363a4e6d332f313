"""What a made case looks like: its anatomy, its contrast, its grid, and that it depends on nobody else."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion, label

from dgsweep.data.phantom import PhantomSpec, make_case
from dgsweep.data.phantom.acquisition import CENTERS, receive
from dgsweep.data.phantom.tissues import INDEX
from dgsweep.data.phantom.write import case_fractions
from dgsweep.errors import InputError

SPEC = PhantomSpec(patients_per_center=1)


@pytest.fixture(scope="module")
def cases():
    """Every (patient, sequence) of one patient per center."""
    return {(p, s): make_case(SPEC, p, s) for p in SPEC.patients for s in SPEC.sequences}


def _deep(mask):
    return binary_erosion(mask, iterations=2)


def _contrast(image, mask, fat):
    """Mean deep inside the pancreas minus the mean of the pure fat within 6 voxels of it, over the former."""
    inside = image[_deep(mask)].mean()
    return (inside - image[fat & binary_dilation(mask, iterations=6)].mean()) / inside


@pytest.fixture(scope="module")
def fat():
    """Voxels of nothing but fat, two voxels away from anything else, by patient."""
    parts = {p: case_fractions(SPEC, p) for p in SPEC.patients}
    return {p: binary_erosion(fractions[INDEX["fat"]] > 0.999, iterations=2) for p, fractions in parts.items()}


def test_the_same_case_is_the_same_to_the_bit(cases):
    image, mask, _ = make_case(SPEC, 2, "OOP")
    assert np.array_equal(image, cases[2, "OOP"][0])
    assert np.array_equal(mask, cases[2, "OOP"][1])


def test_another_seed_makes_another_person(cases):
    image, mask, _ = make_case(PhantomSpec(patients_per_center=1, seed=1), 2, "OOP")
    assert not np.array_equal(mask, cases[2, "OOP"][1])
    assert not np.array_equal(image, cases[2, "OOP"][0])


def test_a_patient_has_one_anatomy_in_all_sequences_and_another_image(cases):
    assert np.array_equal(cases[1, "T1W"][1], cases[1, "T2W"][1])
    assert np.array_equal(cases[1, "T1W"][1], cases[1, "OOP"][1])
    assert abs(np.corrcoef(cases[1, "T1W"][0].ravel(), cases[1, "T2W"][0].ravel())[0, 1]) < 0.9


def test_two_patients_of_one_center_differ():
    spec = PhantomSpec(patients_per_center=2, centers=1, shape=(48, 40, 32))
    assert not np.array_equal(make_case(spec, 1, "T1W")[1], make_case(spec, 2, "T1W")[1])


def test_spacing_is_anisotropic_and_differs_by_center(cases):
    spacings = [cases[p, "T1W"][2] for p in SPEC.patients]
    assert len(set(spacings)) == 4
    assert all(x != z for x, _, z in spacings)


def test_every_center_covers_the_same_field_of_view(cases):
    for patient in SPEC.patients:
        image, mask, spacing = cases[patient, "T1W"]
        assert image.shape == mask.shape
        assert np.multiply(image.shape, spacing) == pytest.approx(np.multiply(SPEC.shape, 3.0), abs=max(spacing) / 2)


def test_the_pancreas_is_one_piece_of_plausible_size(cases):
    for patient in SPEC.patients:
        _, mask, spacing = cases[patient, "T1W"]
        assert label(mask)[1] == 1
        assert 800 <= mask.sum() <= 3200
        assert 30 <= mask.sum() * np.prod(spacing) / 1000 <= 110  # millilitres


def test_the_pancreas_is_bright_in_t1w_and_dark_in_t2w_against_the_fat_around_it(cases, fat):
    for patient in SPEC.patients:
        contrast = {s: _contrast(*cases[patient, s][:2], fat[patient]) for s in SPEC.sequences}
        assert contrast["T1W"] > 0.5
        assert contrast["T2W"] < -1.0
        assert -1.5 < contrast["OOP"] < -0.2


def test_the_pancreas_is_brighter_than_muscle_and_darker_than_fat_in_opposed_phase(cases):
    for patient in SPEC.patients:
        image, mask, _ = cases[patient, "OOP"]
        inside = image[image > 0.15 * np.percentile(image, 99)]
        assert np.percentile(inside, 5) < np.median(image[_deep(mask)]) < np.percentile(inside, 70)


def test_the_background_is_rician_noise(cases):
    # Without signal the magnitude is Rayleigh distributed: mean / SD = sqrt(pi/2) / sqrt(2 - pi/2) = 1.913.
    for patient in SPEC.patients:
        image = cases[patient, "T1W"][0]
        corner = image[:6, :6, :]
        assert corner.mean() / corner.std() == pytest.approx(1.913, abs=0.1)


def test_the_field_multiplies_and_is_the_only_change_when_there_is_no_noise():
    axes = tuple(np.linspace(-100, 100, 12, dtype=np.float32) for _ in range(3))
    signal = np.ones((12, 12, 12), dtype=np.float32)
    once, twice = (receive(s, axes, CENTERS[3], 0.0, np.random.default_rng(0)) for s in (signal, 2 * signal))
    assert np.allclose(twice, 2 * once)
    assert once.std() > 0.02 * once.mean()


def test_a_case_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="P001 to P004"):
        make_case(SPEC, 5, "T1W")
    with pytest.raises(InputError, match="T1W, OOP, T2W"):
        make_case(SPEC, 1, "DWI")


def test_every_wrong_field_of_a_spec_is_named_at_once():
    with pytest.raises(InputError) as caught:
        PhantomSpec(patients_per_center=0, centers=9, shape=(4, 4, 4), sequences=("DWI",), seed=-1)
    for field in ("patients_per_center", "centers", "shape", "sequences", "seed"):
        assert f"  - {field}: " in str(caught.value)
