import numpy as np
import pytest

from dsrnss.data.synthnight import generate
from dsrnss.data.synthnight.camera import Pose, place_camera
from dsrnss.data.synthnight.canvas import Canvas
from dsrnss.data.synthnight.clipping import NEAR, clip_near
from dsrnss.data.synthnight.flow import pixel_grid, true_flow
from dsrnss.data.synthnight.ground import paint_ground
from dsrnss.data.synthnight.houses import no_windows
from dsrnss.data.synthnight.layout import build_scene
from dsrnss.data.synthnight.painter import paint_view
from dsrnss.data.synthnight.presets import TARGET_CITY
from dsrnss.data.synthnight.road import Road
from dsrnss.data.synthnight.types import ClassId, Sun

SIZE = (128, 256)
SUN = Sun(True, 1, 0.5)
ROADS = {
    "flat": Road(4.0, (2.0, 2.0), (1.0, 0.0)),
    "bend": Road(4.0, (2.0, 2.0), (1.0, 0.0), bend=0.003, twist=-0.00003),
    "uphill": Road(4.0, (2.0, 2.0), (1.0, 0.0), slope=0.03, hill=0.0004),
    "crest": Road(4.0, (2.0, 2.0), (1.0, 0.0), slope=0.03, hill=-0.0003),
    "all": Road(4.0, (2.0, 2.0), (1.0, 0.0), bend=-0.002, slope=-0.03, hill=0.0003),
}


def camera_on(road, pose=None):
    return place_camera(TARGET_CITY, road, SIZE, 1.8, 1.45, 0.43, pose or Pose())


@pytest.mark.parametrize("style", ["drawn", "photographic"])
@pytest.mark.parametrize("index", range(4))
def test_the_flow_leads_to_the_same_class(index, style):
    scene = generate("target", index, size=(192, 384), style=style)
    rows, columns = np.nonzero(scene.flow_valid)
    flow = scene.flow[rows, columns]
    x = np.round(columns + flow[:, 0]).astype(int).clip(0, 383)
    y = np.round(rows + flow[:, 1]).astype(int).clip(0, 191)
    agreement = scene.label[rows, columns] == scene.reference_label[y, x]
    assert agreement.mean() > 0.97
    assert (scene.label[scene.flow_valid] < ClassId.PERSON).all()
    assert 0.5 < np.abs(flow).mean() < 60


def test_the_flow_to_the_same_pose_is_zero():
    scene = build_scene(np.random.default_rng(3), TARGET_CITY)
    camera = place_camera(scene.style, scene.road, SIZE, scene.lateral, scene.elevation, scene.horizon, Pose())
    canvas = paint_view(scene, (), camera, SUN, no_windows, 0.0)
    flow, valid = true_flow(canvas, canvas)
    assert valid.all()
    assert np.abs(flow).max() < 1e-3


@pytest.mark.parametrize("name", ROADS)
@pytest.mark.parametrize("pose", [Pose(), Pose(dx=0.5, dz=1.4, yaw=0.03, pitch=-0.01)])
def test_ground_depth_lies_on_the_road(name, pose):
    road = ROADS[name]
    camera = camera_on(road, pose)
    canvas = Canvas(camera, road, SUN)
    scene = build_scene(np.random.default_rng(3), TARGET_CITY)
    paint_ground(canvas, scene)
    painted = canvas.geometry[..., 0] != ClassId.SKY
    assert painted[-1].all()
    u, v = pixel_grid(camera)
    _, y, z = camera.unproject(u, v, canvas.geometry[..., 1].astype(np.float64))
    error = np.abs(y - z * (road.slope + z * road.hill))[painted]
    assert error.max() < 0.02


def test_projection_undoes_unprojection():
    camera = camera_on(ROADS["all"], Pose(yaw=0.02))
    u, v = np.meshgrid([3.5, 100.0, 250.0], [2.0, 60.0, 120.0])
    depth = np.full(u.shape, 17.0)
    u2, v2, depth2 = camera.project(*camera.unproject(u, v, depth))
    assert np.allclose(u, u2) and np.allclose(v, v2) and np.allclose(depth, depth2)


def test_polygons_are_cut_at_the_near_plane():
    inside = [(0.0, 0.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 1.0)]
    assert sorted(clip_near(inside)) == sorted(inside)
    assert clip_near([(0.0, 0.0, 0.1), (1.0, 0.0, 0.1), (1.0, 1.0, -3.0)]) == []
    cut = clip_near([(-1.0, 0.0, -2.0), (1.0, 0.0, -2.0), (1.0, 0.0, 4.0), (-1.0, 0.0, 4.0)])
    assert len(cut) == 4
    assert min(z for _, _, z in cut) == NEAR


def test_what_reaches_behind_the_camera_does_not_vanish():
    road = ROADS["flat"]
    canvas = Canvas(camera_on(road), road, SUN)
    side = [(-1.0, 0.0, -5.0), (-1.0, 0.0, 9.0), (-1.0, 2.5, 9.0), (-1.0, 2.5, -5.0)]
    canvas.polygon(side, (200, 200, 200), ClassId.BUS)
    labels = canvas.geometry[..., 0]
    assert (labels[:, 0] == ClassId.BUS).any(), "the near part fills the image up to its left edge"
    assert (labels == ClassId.BUS).mean() > 0.15
    canvas.wall((2.8, 9.0), (2.8, -5.0), 0.0, 2.5, lambda _: np.full((8, 8, 4), 90, np.uint8), ClassId.WALL)
    assert (canvas.geometry[:, -1, 0] == ClassId.WALL).any()


def test_exact_depth_follows_the_plane():
    road = ROADS["flat"]
    camera = camera_on(road)
    canvas = Canvas(camera, road, SUN)
    slab = [(-3.0, 0.5, 4.0), (-3.0, 0.5, 40.0), (3.0, 0.5, 40.0), (3.0, 0.5, 4.0)]
    canvas.polygon(slab, (90, 90, 90), ClassId.WALL, exact_depth=True)
    u, v = pixel_grid(camera)
    _, y, _ = camera.unproject(u, v, canvas.geometry[..., 1].astype(np.float64))
    assert np.abs(y - 0.5)[canvas.geometry[..., 0] == ClassId.WALL].max() < 0.05
