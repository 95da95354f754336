"""Training a narrow network whose features stand for VGG-19's in style transfer.

Batches of pictures (``batches``, and those on an optimizer's way: ``on_policy``) come
with VGG-19's features of them (``teacher_features``); a narrow network that first
imitates chosen channels layer by layer (``channel_selection``) is then trained to have
VGG-19's kernels (``kernel_matching``).
"""
