"""songwright.corpus"""
