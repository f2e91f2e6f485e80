#!/bin/sh
# Leaves out of a serving environment what no service runs: the installer, OpenVINO's other devices and readers of other
# formats, headers, tests of packages. sh thin.sh /opt/seglab
set -eu
packages=$(echo "$1"/lib/python3*/site-packages)
rm -r "$packages"/pip "$packages"/pip-*.dist-info "$packages"/setuptools* "$packages"/pkg_resources "$packages"/_distutils_hack
rm -f "$packages"/distutils-precedence.pth "$1"/bin/pip*
for kind in intel_gpu intel_npu auto auto_batch hetero; do
    rm -f "$packages"/openvino/libs/libopenvino_${kind}_plugin.so
done
for format in paddle pytorch tensorflow tensorflow_lite jax gguf onnx; do
    rm -f "$packages"/openvino/libs/libopenvino_${format}_frontend.so*
done
rm -rf "$packages"/openvino/include "$packages"/openvino/cmake "$packages"/openvino/libs/cache.json
find "$packages"/numpy "$packages"/scipy "$packages"/nibabel "$packages"/imagecodecs -type d -name tests -prune -exec rm -r {} +
