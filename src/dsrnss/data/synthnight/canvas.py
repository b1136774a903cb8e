"""The picture under construction: albedo with emission, label with depth, painted from far to near."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from .camera import Camera
from .clipping import NEAR, Vertex, clip_near, newell_normal
from .road import Road
from .textures import GAIN, scaled
from .types import Array, ClassId, Colour, Point, PointLight, Sun

SKY_DEPTH = 1.0e4

Texture = Callable[[float], Array]
"""Gives an (h, w, 4) uint8 RGBE picture for a wall of so many pixels height."""


class Canvas:
    """Painter's buffers of one view.

    Attributes:
        rgbe: (H, W, 4) uint8, albedo and emission.
        geometry: (H, W, 2) float32, label and depth in metres.
        lights: lamps that may shine into the camera; empty by day.
    """

    def __init__(self, camera: Camera, road: Road, sun: Sun | None) -> None:
        self.camera = camera
        self.road = road
        self.sun = sun
        self.day = sun is not None
        self.rgbe = np.zeros((camera.height, camera.width, 4), np.uint8)
        self.geometry = np.empty((camera.height, camera.width, 2), np.float32)
        cv2.rectangle(self.geometry, (0, 0), (camera.width, camera.height), (float(ClassId.SKY), SKY_DEPTH), -1)
        self.lights: list[PointLight] = []
        course = (road.bend, road.twist, road.slope, road.hill)
        self._bending = (*course, camera.x, camera.y, camera.z, camera.cos, camera.sin)

    # ---- geometry -------------------------------------------------------------------------------

    def to_camera(self, point: Point) -> Vertex:
        """Bend a point from road into camera coordinates."""
        return self._all_to_camera((point,))[0]

    def _all_to_camera(self, points: Sequence[Point]) -> list[Vertex]:
        # the innermost loop of the painter: thousands of corners an image
        bend, twist, slope, hill, cx, cy, cz, cos, sin = self._bending
        vertices = []
        for x, y, z in points:
            dx = x + z * z * (bend + z * twist) - cx
            dz = z - cz
            vertices.append((cos * dx - sin * dz, y + z * (slope + z * hill) - cy, sin * dx + cos * dz))
        return vertices

    def pixels_per_metre(self, x: float, z: float) -> float:
        """Return the scale at a place of the road, 0 behind the camera."""
        depth = self.to_camera((x, 0.0, z))[2]
        return self.camera.focal / depth if depth > NEAR else 0.0

    def _to_image(self, vertices: Sequence[Vertex]) -> list[tuple[float, float]]:
        camera = self.camera
        f, u0, v0 = camera.focal, camera.u0, camera.v0
        return [(u0 + f * x / z, v0 - f * y / z) for x, y, z in vertices]

    # ---- painting -------------------------------------------------------------------------------

    def polygon(
        self,
        points: Sequence[Point],
        colour: Colour,
        label: ClassId,
        shade: float = 1.0,
        emission: int = 0,
        exact_depth: bool = False,
    ) -> None:
        """Paint a planar polygon.

        Args:
            points: corners in road coordinates.
            colour: albedo.
            label: class.
            shade: factor on the albedo.
            emission: strength of its own light, 0..255.
            exact_depth: give each pixel its own depth; without it, all get the mean of the corners.
        """
        camera = self.camera
        vertices = self._all_to_camera(points)
        depths = [v[2] for v in vertices]
        if min(depths) < NEAR:
            vertices = clip_near(vertices)
            if len(vertices) < 3:
                return
            depths = [v[2] for v in vertices]
        corners = self._to_image(vertices)
        us, vs = zip(*corners, strict=True)
        left, right, top, bottom = min(us), max(us), min(vs), max(vs)
        if right < 0 or left >= camera.width or bottom < 0 or top >= camera.height:
            return
        if right - left < 0.7 and bottom - top < 0.7:
            return
        r, g, b = colour
        # -8: pixel centres lie at half coordinates, OpenCV's at whole ones; 1/16 pixel
        path = (np.array(corners) * 16.0 - 8.0).astype(np.int32)
        paint = (min(255.0, r * shade), min(255.0, g * shade), min(255.0, b * shade), float(emission))
        cv2.fillPoly(self.rgbe, [path], paint, shift=4)
        depth = sum(depths) / len(depths)
        cv2.fillPoly(self.geometry, [path], (float(label), depth), shift=4)
        if exact_depth:
            self._plane_depth(path, vertices, (left, right, top, bottom))

    def _plane_depth(self, path: Array, vertices: Sequence[Vertex], box: tuple[float, float, float, float]) -> None:
        camera = self.camera
        x0, x1 = max(0, math.floor(box[0]) - 1), min(camera.width, math.ceil(box[1]) + 2)
        y0, y1 = max(0, math.floor(box[2]) - 1), min(camera.height, math.ceil(box[3]) + 2)
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [path], 1, shift=4, offset=(-16 * x0, -16 * y0))
        nx, ny, nz = newell_normal(vertices)
        distance = nx * vertices[0][0] + ny * vertices[0][1] + nz * vertices[0][2]
        u = (np.arange(x0, x1, dtype=np.float32) + np.float32(0.5 - camera.u0)) / np.float32(camera.focal)
        v = (np.float32(camera.v0 - 0.5) - np.arange(y0, y1, dtype=np.float32)) / np.float32(camera.focal)
        slant = np.float32(nx) * u[None] + np.float32(ny) * v[:, None] + np.float32(nz)
        slant[np.abs(slant) < 1e-9] = 1e-9
        depth = (np.float32(distance) / slant).clip(NEAR, SKY_DEPTH)
        np.copyto(self.geometry[y0:y1, x0:x1, 1], depth, where=mask > 0)

    def light(self, point: Point, colour: Colour, radius: float) -> None:
        """Remember a lamp of so many metres radius; does nothing by day."""
        if self.day:
            return
        x, y, z = self.to_camera(point)
        if z < 1.0:
            return
        camera = self.camera
        scale = camera.focal / z
        u, v = camera.u0 + scale * x, camera.v0 - scale * y
        if -50 < u < camera.width + 50 and -50 < v < camera.height + 50:
            mirror = v + 2.0 * point[1] * scale
            size = max(0.8 * camera.width / 512, radius * scale)
            self.lights.append(PointLight(u, v, z, colour, size, mirror))

    def wall(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        bottom: float,
        top: float,
        texture: Texture,
        label: ClassId,
        outline: Sequence[tuple[float, float]] = (),
        see_through: bool = False,
    ) -> None:
        """Paint a textured vertical wall that stands on the ground.

        Args:
            start: lateral offset and way of the end that shows the texture's left edge.
            end: the same of the right edge.
            bottom: height of the lower edge above the ground in metres.
            top: height of the upper edge.
            texture: picture of the wall.
            label: class of the whole wall.
            outline: upper edge as (way 0..1 along the wall, height 0..1), from start to end; straight if empty.
            see_through: the last channel is opacity instead of emission; gaps are labelled like the rest.
        """
        placed = self._place_wall(start, end, bottom, top, outline)
        if placed is None:
            return
        quad, path, ends, cut = placed
        camera = self.camera
        x0, x1 = max(0, math.floor(quad[:, 0].min())), min(camera.width, math.ceil(quad[:, 0].max()))
        y0, y1 = max(0, math.floor(quad[:, 1].min())), min(camera.height, math.ceil(quad[:, 1].max()))
        if x1 <= x0 or y1 <= y0:
            return
        picture = texture(float(max(abs(quad[3, 1] - quad[0, 1]), abs(quad[2, 1] - quad[1, 1]))))
        h, w = picture.shape[:2]
        source = np.array([[cut[0] * w, 0], [cut[1] * w, 0], [cut[1] * w, h], [cut[0] * w, h]], np.float32)
        matrix = cv2.getPerspectiveTransform(source, (quad - (x0, y0)).astype(np.float32))
        patch = cv2.warpPerspective(
            picture, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        mask = np.zeros(patch.shape[:2], np.uint8)
        cv2.fillPoly(mask, [((path - (x0, y0)) * 16.0 - 8.0).astype(np.int32)], 255, shift=4)
        opaque = mask
        if see_through:
            opaque = np.where(patch[..., 3] > 90, mask, 0).astype(np.uint8)
            patch[..., 3] = 0
        cv2.copyTo(patch, opaque, self.rgbe[y0:y1, x0:x1])
        self._wall_geometry(ends, label, mask, (x0, x1, y0, y1))

    def _place_wall(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        bottom: float,
        top: float,
        outline: Sequence[tuple[float, float]],
    ) -> tuple[Array, Array, tuple[Vertex, Vertex], tuple[float, float]] | None:
        """Return image corners, image outline, clipped ends and the visible part of a wall."""
        a = self.to_camera((start[0], bottom, start[1]))
        b = self.to_camera((end[0], bottom, end[1]))
        if a[2] < NEAR and b[2] < NEAR:
            return None
        t0, t1 = 0.0, 1.0
        if a[2] < NEAR:
            t0 = (NEAR - a[2]) / (b[2] - a[2])
        elif b[2] < NEAR:
            t1 = (NEAR - a[2]) / (b[2] - a[2])
        rise = top - bottom

        def at(t: float, height: float) -> Vertex:
            return (
                a[0] + t * (b[0] - a[0]),
                a[1] + t * (b[1] - a[1]) + height * rise,
                max(NEAR, a[2] + t * (b[2] - a[2])),
            )

        corners = self._to_image([at(t0, 1.0), at(t1, 1.0), at(t1, 0.0), at(t0, 0.0)])
        quad = np.array(corners)
        if not outline:
            return quad, quad, (a, b), (t0, t1)
        skyline = [at(t, h) for t, h in outline if t0 <= t <= t1]
        ragged = [at(t0, outline[0][1]), *skyline, at(t1, outline[-1][1]), at(t1, 0.0), at(t0, 0.0)]
        return quad, np.array(self._to_image(ragged)), (a, b), (t0, t1)

    def _wall_geometry(
        self, ends: tuple[Vertex, Vertex], label: ClassId, mask: Array, box: tuple[int, int, int, int]
    ) -> None:
        x0, x1, y0, y1 = box
        a, b = ends
        u = (np.arange(x0, x1) + 0.5 - self.camera.u0) / self.camera.focal
        dx, dz = b[0] - a[0], b[2] - a[2]
        slant = u * dz - dx
        slant[np.abs(slant) < 1e-6] = 1e-6
        patch = np.empty((y1 - y0, x1 - x0, 2), np.float32)
        patch[..., 0] = float(label)
        patch[..., 1] = ((a[0] * dz - a[2] * dx) / slant).clip(0.3, SKY_DEPTH)
        cv2.copyTo(patch, mask, self.geometry[y0:y1, x0:x1])

    def sprite(
        self,
        place: Point,
        size: tuple[float, float],
        picture: Array,
        colour: Colour,
        label: ClassId,
    ) -> None:
        """Paint an upright picture facing the camera.

        Args:
            place: middle of its lower edge in road coordinates.
            size: width and height in metres.
            picture: (n, n, 4) uint8, neutral shade and opacity (painted where over 127).
            colour: what the shade is multiplied with.
            label: class.
        """
        x, y, depth = self.to_camera(place)
        if depth < 1.0:
            return
        camera = self.camera
        scale = camera.focal / depth
        w, h = int(size[0] * scale), int(size[1] * scale)
        if w < 2 or h < 2:
            return
        left, top = int(camera.u0 + scale * x - w / 2), int(camera.v0 - scale * y - h)
        x0, x1 = max(0, left), min(camera.width, left + w)
        y0, y1 = max(0, top), min(camera.height, top + h)
        if x1 <= x0 or y1 <= y0:
            return
        n = picture.shape[0]
        rows = (np.arange(y0 - top, y1 - top) * n) // h
        columns = (np.arange(x0 - left, x1 - left) * n) // w
        # four bytes a pixel are moved as one word; whole-number look-ups are the same on every machine
        patch = np.take(np.take(picture.view(np.uint32)[..., 0], rows, 0), columns, 1)
        mask = (patch >> 24 > 127).astype(np.uint8)
        gains = (colour[0] / GAIN, colour[1] / GAIN, colour[2] / GAIN, 0.0)
        shaded = scaled(patch.view(np.uint8).reshape(*patch.shape, 4), gains)
        cv2.copyTo(shaded, mask, self.rgbe[y0:y1, x0:x1])
        flat = np.empty((*patch.shape, 2), np.float32)
        flat[:] = (float(label), depth)
        cv2.copyTo(flat, mask, self.geometry[y0:y1, x0:x1])

    def shadow(self, corners: Sequence[tuple[float, float]], strength: float = 0.55) -> None:
        """Darken the ground inside a polygon of (lateral, along) corners, with a soft edge."""
        vertices = clip_near(self._all_to_camera([(x, 0.0, z) for x, z in corners]))
        if len(vertices) < 3:
            return
        path = np.array(self._to_image(vertices))
        camera = self.camera
        x0, y0 = (max(0, math.floor(v) - 2) for v in path.min(0))
        x1 = min(camera.width, math.ceil(path[:, 0].max()) + 2)
        y1 = min(camera.height, math.ceil(path[:, 1].max()) + 2)
        if x1 <= x0 or y1 <= y0:
            return
        mask = np.full((y1 - y0, x1 - x0), 255, np.uint8)
        dark = int(255 * (1.0 - strength))
        cv2.fillPoly(mask, [((path - (x0, y0)) * 16.0 - 8.0).astype(np.int32)], dark, shift=4)
        k = 2 * round(camera.width / 512) + 1
        mask = cv2.blur(mask, (k + 2, k))
        target = self.rgbe[y0:y1, x0:x1]
        target[...] = cv2.multiply(target, cv2.merge([mask, mask, mask, mask]), scale=1.0 / 255.0)
