"""Why a network wrote what it wrote: surprise, alternatives, and the earlier bars that each bar takes from."""
