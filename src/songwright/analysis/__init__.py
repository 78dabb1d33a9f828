"""songwright.analysis"""
