#pragma once
// Area of the piece of surface between eight voxels, by which of them lie inside: marching cubes (Lorensen & Cline
// 1987) with the surface half-way between voxels. What a cube's corners leave open is decided as in DeepMind's
// table, so that figures compare: on a face whose diagonal corners are inside, these are not joined (of more than
// four corners inside, those outside are looked at instead), and a polygon that is not flat is cut into triangles from
// the vertex that gives the largest area in a unit cube.

#include <array>
#include <cstdint>

namespace ivory::eval {

// mm², by a code whose bit 4·z + 2·y + x tells whether that voxel is inside; spacing along z, y, x.
std::array<double, 256> element_areas(const std::array<double, 3>& spacing);
// mm, by a code of bits 2·y + x; spacing along y, x.
std::array<double, 16> element_lengths(const std::array<double, 2>& spacing);

}  // namespace ivory::eval
