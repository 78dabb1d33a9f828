"""songwright.engine"""
