"""What a request's body may be: detected by its content where nothing is said, and bounded in every form."""

import json

import pytest
from helpers_serving import ask, form, png, running

pytest.importorskip('fastapi', reason="no FastAPI (pip install 'miqa[serve]')")

from miqa.serving.application import build_app
from miqa.serving.settings import Limits


@pytest.fixture(scope='module')
def url(model):
    with running(build_app(model, limits=Limits(upload_mb=3, pictures=2))) as address:
        yield address


#: What urllib and `curl --data-binary` send where nothing is said.
UNTYPED = {'Content-Type': 'application/x-www-form-urlencoded'}


@pytest.mark.parametrize('headers', [UNTYPED, {'Content-Type': ''}])
def test_a_body_without_a_content_type_is_detected_by_its_content(url, headers):
    status, answer = ask(f'{url}/score', png(), headers)
    assert status == 200 and answer['results'][0]['score'] is not None
    _, body = form(('a.png', png()), ('b.png', png(1)))
    status, answer = ask(f'{url}/score', body, headers)
    assert status == 200 and [row['name'] for row in answer['results']] == ['a.png', 'b.png']
    status, answer = ask(f'{url}/score', b'\n {"urls": ["https://images.example.com/a.png"]}', headers)
    assert status == 403 and 'images.example.com' in answer['detail']
    status, answer = ask(f'{url}/score', b'hello', headers)
    assert status == 422 and answer['detail'].startswith('body is not an image')


def test_text_in_place_of_a_file_and_a_byte_order_mark_before_json_are_understood(url):
    headers, body = form(('a.png', b'a.png'))
    status, answer = ask(f'{url}/score', body.replace(b'; filename="a.png"', b''), headers)
    assert status == 422 and '-F files=@photo.jpg' in answer['detail']
    body = b'\xef\xbb\xbf{"urls": ["https://images.example.com/a.png"]}'
    assert ask(f'{url}/score', body, {'Content-Type': 'application/json'})[0] == 403


@pytest.mark.parametrize(('query', 'said'), [
    ('?lable=accuracy', "Unknown parameter 'lable' of the address. Did you mean 'label'? There are: task, label"),
    ('?task=det&task=cls', "The parameter 'task' of the address is there twice."),
])  # fmt: skip
def test_a_misspelt_or_doubled_parameter_is_refused(url, query, said):
    status, answer = ask(f'{url}/score{query}', png(), {'Content-Type': 'image/png'})
    assert status == 422 and said in answer['detail']


def test_of_two_keys_for_addresses_none_is_dropped(url):
    body = b'{"url": "https://images.example.com/a.png", "urls": ["https://images.example.com/b.png"]}'
    status, answer = ask(f'{url}/score', body, {'Content-Type': 'application/json'})
    assert status == 422 and 'and nothing else' in answer['detail']
    status, answer = ask(f'{url}/score', body.replace(b'"url"', b'"urls"'), {'Content-Type': 'application/json'})
    assert status == 400 and "the key 'urls' stands 2 times" in answer['detail']


def test_a_single_file_has_the_name_that_its_sender_gives_it(url):
    for header, name in (
        ('attachment; filename="photo of me.png"', 'photo of me.png'),
        ("attachment; filename*=UTF-8''%E5%9B%BE.png", '图.png'),
        # Python knows this encoding, and decodes long names in it for minutes.
        (f"attachment; filename*=punycode''{'a' * 30_000}", 'body'),
        ('attachment; filename="../../etc/passwd"', '../../etc/passwd'),
    ):
        headers = {'Content-Type': 'application/octet-stream', 'Content-Disposition': header}
        status, answer = ask(f'{url}/score', png(), headers)
        assert status == 200 and answer['results'][0]['name'] == name
        status, answer = ask(f'{url}/score', b'no picture', headers)
        assert status == 422 and '/tmp' not in answer['detail'] and 'is not an image' in answer['detail']


@pytest.mark.parametrize(('written', 'name'), [
    ("filename*=UTF-8''%E5%9B%BE%20%22a%22%5C.png", '图 "a"\\.png'),
    ("FileName*=iso-8859-1'de'%FCber.png", 'über.png'),
    ("filename*=utf-8''%FF.png", '\ufffd.png'),
    ("filename*=UTF-8''b.png; filename=a.png", 'a.png'),
])  # fmt: skip
def test_a_part_of_a_form_may_have_only_an_extended_name(url, written, name):
    headers, body = form(('a.png', png()))
    status, answer = ask(f'{url}/score', body.replace(b'filename="a.png"', written.encode()), headers)
    assert (status, answer['results'][0]['name']) == (200, name)


@pytest.mark.parametrize('headers', [{'Content-Type': 'application/json'}, UNTYPED])
@pytest.mark.parametrize('chunked', [False, True])
def test_a_list_of_addresses_takes_a_megabyte_at_most(url, headers, chunked):
    body = json.dumps({'urls': ['x' * 1_500_000]}).encode()
    if chunked:
        headers = {**headers, 'Transfer-Encoding': 'chunked'}
        body = iter([body[:1000], body[1000:]])
    status, answer = ask(f'{url}/score', body, headers, 'POST')
    assert status == 413 and answer['detail'] == 'The request is too large: a JSON body may have 1 MB.'


@pytest.mark.parametrize('body', [b'[' * 900_000, b'{"urls": ' + b'[' * 100_000 + b']' * 100_000 + b'}'])
def test_deeply_nested_json_is_refused(url, body):
    assert ask(f'{url}/score', body, {'Content-Type': 'application/json'})[0] == 400


def test_the_message_on_a_large_body_agrees_with_the_option(url):
    octets = {'Content-Type': 'application/octet-stream'}
    expected = 'The request is too large: its files may have 3 MB together (miqa serve --max-upload).'
    assert ask(f'{url}/score', bytes(4_000_000), octets) == (413, {'detail': expected})
    headers, body = form(('a.png', bytes(2_000_000)), ('b.png', bytes(2_000_000)))
    assert ask(f'{url}/score', body, headers) == (413, {'detail': expected})
    expected = 'body is too large: it has 3.0 MB, and a file may have 3 MB (miqa serve --max-upload).'
    assert ask(f'{url}/score', bytes(3_030_000), octets) == (413, {'detail': expected})
    # A file of exactly that size is looked at.
    assert ask(f'{url}/score', bytes(3_000_000), octets)[0] == 422
