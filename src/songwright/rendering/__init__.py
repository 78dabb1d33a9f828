"""songwright.rendering"""
