"""The page of the server: its file, and what it says of itself."""

import re
import socket

import pytest
from helpers_serving import ask, running

pytest.importorskip('fastapi', reason="no FastAPI (pip install 'miqa[serve]')")

from miqa.serving.application import PATHS, build_app
from miqa.serving.listening import listen_on
from miqa.serving.page import read_page


@pytest.mark.parametrize('name', ['page.html', 'docs.html'])
def test_pages_name_no_other_host_and_allow_only_their_own_script_and_style(name):
    content, headers = read_page(name)
    text = content.decode()
    assert not re.search(r'(src|href)\s*=\s*["\']?(https?:)?//|@import|url\(\s*["\']?http', text)
    assert ' style="' not in text and not re.search(r'\son\w+=', text)  # the policy forbids them
    policy = headers['Content-Security-Policy']
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and 'unsafe' not in policy


def test_the_root_and_the_documentation_need_no_token_and_say_nothing_of_the_model(model):
    for page in (True, False):
        with running(build_app(model, page=page, token='a-token-of-many-letters')) as url:
            for path in ('/', '/docs'):
                status, answer = ask(url + path)
                assert status == 200 and model.identity not in str(answer)
            assert (b'<!doctype html>' in ask(url)[1]) if page else ask(url)[1]['documentation'] == '/docs'
            assert ask(f'{url}/info')[0] == 401


def test_the_documentation_names_every_path():
    text = read_page('docs.html')[0].decode()
    assert [path for path in PATHS if path not in ('/', '/docs') and path not in text] == []


def test_a_port_in_use_is_reported():
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf'Port {port} of 127\.0\.0\.1 is in use: choose another, --port \d+'):
            listen_on('127.0.0.1', port)
