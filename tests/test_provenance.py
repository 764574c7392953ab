from ntkpipe import provenance


def test_versions_name_what_numbers_depend_on():
    assert {"python", "jax", "jaxlib", "numpy", "ntkpipe"} <= set(provenance.versions())


def test_the_device_is_named():
    assert provenance.device() == "cpu" or ":" in provenance.device()
