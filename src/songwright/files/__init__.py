"""songwright.files"""
