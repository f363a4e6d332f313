"""One person's abdomen as tissue fractions: a body, its organs, and a pancreas from duodenum to splenic hilum.

World axes are RAS in mm with the origin at the neck of the pancreas: x to the right of the person, y to the front,
z to the head. Positions and sizes are round numbers of a small adult; each is jittered by patient.
"""

from dataclasses import dataclass

import numpy as np

from dgsweep.data.phantom.shapes import FAR_MM, Canvas, Ellipsoid, Point, Shape, Tube, Volume, tube, waves

BEND_MM = 3.0
"""Standard deviation of the smooth displacement along each axis."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """What differs between people besides jitter: body half axes and thicknesses in mm, and a random generator."""

    half: tuple[float, float]
    skin_fat: float
    wall: float
    rng: np.random.Generator

    def near(self, x: float, y: float, z: float, *, sd_mm: float = 3.0) -> Point:
        """A point close to the given one, normally distributed with `sd_mm` along each axis."""
        dx, dy, dz = np.clip(self.rng.standard_normal(3), -2.0, 2.0) * sd_mm
        return x + float(dx), y + float(dy), z + float(dz)

    def size(self, *mm: float, sd: float = 0.08) -> Point:
        """Three lengths, each varied by the relative `sd`."""
        x, y, z = np.asarray(mm) * (1.0 + sd * np.clip(self.rng.standard_normal(3), -2.0, 2.0))
        return float(x), float(y), float(z)


def draw_person(rng: np.random.Generator) -> Person:
    """Draw a body: 246 to 268 mm wide, 176 to 200 mm deep, 8 to 20 mm of fat under the skin."""
    return Person(
        half=(float(rng.uniform(123, 134)), float(rng.uniform(88, 100))),
        skin_fat=float(rng.uniform(8, 20)),
        wall=float(rng.uniform(8, 12)),
        rng=rng,
    )


def tissue_fractions(axes_mm: tuple[Volume, Volume, Volume], voxel_mm: float, rng: np.random.Generator) -> Volume:
    """Fractions (tissue, x, y, z) that sum to 1 in every voxel, for the grid spanned by three 1D axes in mm."""
    grid = tuple(np.meshgrid(*axes_mm, indexing="ij", sparse=True))
    x, y, z = (np.broadcast_to(axis, tuple(len(a) for a in axes_mm)) for axis in grid)
    person = draw_person(rng)
    bent = tuple(axis + np.float32(BEND_MM) * waves(x, y, z, rng, (110.0, 220.0)) for axis in (x, y, z))
    canvas = Canvas((grid[0], grid[1], grid[2]), (bent[0], bent[1], bent[2]), voxel_mm)
    cavity = _paint_body(canvas, person)
    _paint_spine(canvas, person)
    _paint_bowel(canvas, person, cavity)
    _paint_organs(canvas, person, cavity)
    course = _pancreas_course(person)
    _paint_vessels(canvas, person, course)
    _paint_duodenum(canvas, person)
    ripple = np.float32(1.2) * waves(x, y, z, rng, (12.0, 22.0))
    canvas.paint("pancreas", course, ripple=ripple)
    return canvas.fractions


def _paint_body(canvas: Canvas, person: Person) -> Ellipsoid:
    centre = (0.0, -12.0, 0.0)
    skin = Ellipsoid(centre=centre, half=(person.half[0], person.half[1], FAR_MM))
    canvas.paint("fat", skin)
    outer = skin.grown(-person.skin_fat)
    canvas.paint("muscle", outer)
    cavity = outer.grown(-person.wall)
    canvas.paint("fat", cavity)
    for side in (-1.0, 1.0):
        canvas.paint("muscle", _column(person, side * 30, -84, (26, 17)), clip=outer)
        canvas.paint("muscle", _column(person, side * 36, -48, (15, 17)))
    return cavity


def _column(person: Person, x: float, y: float, half_xy: tuple[float, float]) -> Ellipsoid:
    px, py, _ = person.near(x, y, 0, sd_mm=1.5)
    hx, hy, _ = person.size(*half_xy, 1.0)
    return Ellipsoid(centre=(px, py, 0.0), half=(hx, hy, FAR_MM))


def _paint_spine(canvas: Canvas, person: Person) -> None:
    canvas.paint("marrow", _column(person, 0, -84, (7, 18)))
    body = _column(person, 0, -48, (22, 17))
    canvas.paint("disc", body)
    first = float(person.rng.uniform(-16, 16))
    for level in range(-3, 4):
        z = first + 34.0 * level
        canvas.paint("marrow", Ellipsoid(centre=(*body.centre[:2], z), half=(26, 21, 15)), clip=body)
    canvas.paint("csf", _column(person, 0, -72, (9, 7)))


def _hollow(canvas: Canvas, shape: Shape, content: str, clip: Shape | None = None) -> None:
    canvas.paint("bowel_wall", shape, clip=clip)
    inner_clip = clip.grown(-3.0) if clip is not None else None
    canvas.paint(content, shape.grown(-3.0), clip=inner_clip)


def _content(person: Person) -> str:
    return str(person.rng.choice(["chyme", "fluid", "air"], p=[0.5, 0.3, 0.2]))


def _paint_bowel(canvas: Canvas, person: Person, cavity: Ellipsoid) -> None:
    rng = person.rng
    for _ in range(24):
        start = np.array([rng.uniform(-70, 70), rng.uniform(0, 58), rng.uniform(-95, 8)])
        knots = start + np.cumsum(rng.normal(0, 16, (3, 3)), axis=0)
        loop = tube([person.near(*k, sd_mm=0.0) for k in knots], [float(r) for r in rng.uniform(9, 13, 3)])
        _hollow(canvas, loop, _content(person), cavity)
    for side in (-1.0, 1.0):
        knots_colon = [person.near(side * 84, -12, z) for z in (-110.0, -70.0, -35.0)]
        _hollow(canvas, tube(knots_colon, [15, 17, 16]), _content(person), cavity)
    across = [person.near(x, y, z) for x, y, z in ((80, 25, -35), (35, 58, -30), (-35, 58, -24), (-80, 25, -10))]
    _hollow(canvas, tube(across, [14, 13, 12, 13]), _content(person), cavity)


def _paint_organs(canvas: Canvas, person: Person, cavity: Ellipsoid) -> None:
    stomach = tube(
        [person.near(*p) for p in ((-52, 10, 62), (-56, 30, 36), (-32, 50, 14), (8, 48, 6))], [27, 27, 20, 12]
    )
    _hollow(canvas, stomach, str(person.rng.choice(["chyme", "fluid"])), cavity)
    canvas.paint("air", Ellipsoid(centre=person.near(-46, 48, 36), half=(16, 10, 22)), clip=stomach.grown(-3.0))
    snug = cavity.grown(-1.0)
    liver_right = Ellipsoid(centre=person.near(66, -4, 36), half=person.size(48, 66, 62))
    canvas.paint("liver", liver_right, clip=snug)
    canvas.paint("liver", Ellipsoid(centre=person.near(18, 44, 46), half=person.size(62, 25, 30)), clip=snug)
    canvas.paint("spleen", Ellipsoid(centre=person.near(-86, -38, 34), half=person.size(20, 36, 42)), clip=snug)
    _hollow(canvas, Ellipsoid(centre=person.near(52, 42, -8), half=person.size(13, 15, 22)), "fluid", snug)
    for side, height in ((1.0, -26.0), (-1.0, -10.0)):
        _paint_kidney(canvas, person, person.near(side * 62, -52, height), side)


def _paint_kidney(canvas: Canvas, person: Person, centre: Point, side: float) -> None:
    cortex = Ellipsoid(centre=centre, half=person.size(23, 22, 46))
    # A rim of perirenal fat keeps the kidney apart from its neighbours.
    canvas.paint("fat", cortex.grown(4.0))
    canvas.paint("kidney_cortex", cortex)
    canvas.paint("kidney_medulla", cortex.grown(-7.0))
    x, y, z = centre
    canvas.paint("fat", Ellipsoid(centre=(x - side * 11, y + 4, z), half=(14, 8, 18)), clip=cortex.grown(6.0))


def _pancreas_course(person: Person) -> Tube:
    knots = [(40, -8, -34), (34, -2, -16), (14, 8, -2), (-10, 12, 6), (-32, 2, 13), (-54, -16, 20), (-66, -27, 25)]
    tilt = float(person.rng.uniform(-0.12, 0.16))
    bow = float(person.rng.uniform(0.75, 1.3))
    course = [person.near(x, y * bow if y > 0 else y, z - tilt * x, sd_mm=2.5) for x, y, z in knots]
    thickness = float(person.rng.uniform(0.86, 1.03))
    radii = [thickness * r * float(person.rng.uniform(0.92, 1.08)) for r in (12, 15, 10.5, 11, 11.5, 10.5, 7.5)]
    return tube(course, radii)


def _paint_vessels(canvas: Canvas, person: Person, course: Tube) -> None:
    canvas.paint("blood", Ellipsoid(centre=person.near(-10, -24, 0, sd_mm=1.5), half=(9, 9, FAR_MM)))
    canvas.paint("blood", Ellipsoid(centre=person.near(20, -25, 0, sd_mm=1.5), half=(11, 8.5, FAR_MM)))
    # The splenic vein runs along the back of the pancreas from the hilum to the confluence behind its neck.
    tail = np.linspace(len(course.points) - 1, 0.42 * len(course.points), 6).astype(int)
    behind = [_point_behind(course, index) for index in tail]
    canvas.paint("blood", tube([(-78, -34, 28), *behind], [4.0] * 7))
    x, y, z = behind[-1]
    portal = [(x, y, z), (x + 14, y + 4, z + 16), (x + 34, y + 6, z + 32), (x + 52, y + 4, z + 42)]
    canvas.paint("blood", tube(portal, [6.5, 7, 6, 4.5]))
    canvas.paint("blood", tube([(x, y, z), (x + 2, y, z - 26), (x - 2, y + 6, z - 70)], [6.5, 5.5, 5.0]))
    for x1, y1, z1 in ((96, -20, 52), (60, 30, 62), (80, -35, 20), (30, 40, 60)):
        branch = [(x + 50, y + 4, z + 42), person.near((x + 50 + x1) / 2, y1 / 2, (z + 42 + z1) / 2), (x1, y1, z1)]
        canvas.paint("blood", tube([person.near(*p, sd_mm=1.0) for p in branch], [4.5, 3.5, 2.0]))


def _point_behind(course: Tube, index: int) -> Point:
    x, y, z = (float(v) for v in course.points[index])
    return x, y - float(course.radii[index]) - 2.0, z + 2.0


def _paint_duodenum(canvas: Canvas, person: Person) -> None:
    knots = [(22, 30, 2), (46, 16, 2), (58, -4, -16), (56, -10, -40), (34, -12, -54), (0, -8, -54)]
    loop = tube([person.near(*p, sd_mm=2.0) for p in knots], [11, 12, 12, 12, 11, 10])
    _hollow(canvas, loop, str(person.rng.choice(["chyme", "fluid"])))
