from recolor.training.status import STATUS_FILE, TrainingStatus, drop_status, read_status, write_status


def test_a_status_is_read_as_it_was_written_and_is_gone_when_it_is_dropped(tmp_path):
    assert read_status(tmp_path) is None
    for status in (TrainingStatus(3, 400, 12.5, None), TrainingStatus(40, 400, 80.0, 3.25)):
        write_status(tmp_path, status)
        assert read_status(tmp_path) == status
    assert [path.name for path in tmp_path.iterdir()] == [STATUS_FILE]
    drop_status(tmp_path)
    drop_status(tmp_path)
    assert read_status(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
