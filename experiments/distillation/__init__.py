"""Training a narrow network whose features stand for VGG-19's in style transfer.

Pictures (``pictures``, and those that an optimizer visits: ``visits``) are shown to
VGG-19 (``labels``); a narrow network that first imitates chosen channels layer by layer
(``channel_selection``) is then trained to have VGG-19's kernels (``kernel_matching``).
"""
