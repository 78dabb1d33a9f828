"""songwright.composition"""
