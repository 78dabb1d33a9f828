"""songwright.tokens"""
