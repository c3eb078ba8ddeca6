"""Recognise a semantic segmenter: its map of classes, and the preprocessing whose maps agree with annotated ones."""

from __future__ import annotations

from typing import Any

from miqa.machines.onnx_machine import OnnxMachine

from .conventions import CONVENTIONS
from .input_sizes import input_sizes
from .network_file import NetworkFile
from .readings import UnclearLayout
from .recognised import RecognisedMachine, size_note
from .samples import observed_at
from .segmenters import best_on_maps, map_of_classes

_LEAST_OVERLAP = 0.05  # Mean intersection over union of a segmenter that was read well


def recognised_segmenter(given: NetworkFile) -> RecognisedMachine:
    """Find out how a semantic segmenter is used.

    Raises:
        UnclearLayout: that cannot be found out; the message asks one question.
    """
    network, names = given.network, given.names
    sizes, known = input_sizes(network, given.metadata, given.settings)
    convention = given.with_settings(CONVENTIONS['detr'])
    if given.classes is not None and len(given.classes) == 1:
        raise UnclearLayout(
            f'A map of classes tells at least two apart, the background too: --classes background {given.classes[0]}'
        )
    observed = observed_at(sizes, given)
    output = map_of_classes(observed, given.settings.get('output'))
    config: dict[str, Any] = {}
    config |= {} if output.name == network.output_names[0] else {'logits_name': output.name}
    config |= {} if output.masks is None else {'masks_name': output.masks}
    config |= {} if output.outputs == 'logits' else {'outputs': output.outputs}
    if names is not None:
        # Files of one channel name the object alone.
        config['classes'] = list(names) if len(names) > 1 else ['background', *names]
    annotated = [picture for picture in given.pictures if picture.class_map is not None]
    how = ['A guess, the usual way.']
    if annotated:
        given.say('trying the usual ways to use it on pictures with maps')
        arguments = {**config, **convention.arguments(observed.size, given.whole_pixels)}
        machine = OnnxMachine(network.file, 'seg', **arguments, device=str(network.device))
        ways = given.allowed([convention, *convention.other_values()])
        convention, value = best_on_maps(machine, ways, observed.size, annotated, given.categories)
        how = [f'Of the usual values it agrees best with the maps of pictures (mean IoU {value:.3f}).']
        if value < _LEAST_OVERLAP:
            how += [
                'WARNING: hardly a pixel agrees. Do the maps count the classes as the network does? --classes names '
                'those of the network.'
            ]
    config |= convention.arguments(observed.size, given.whole_pixels)
    notes = [
        f'{network.file.name}: output {output.name}, {output.words}.',
        f'Pictures: {convention.words(observed.size)}. {how[0]}',
        *how[1:],
    ]
    notes += [output.note] if output.note else []
    if not annotated and output.one_object and names is None:
        notes += [
            'WARNING: whether its numbers are an object cannot be told: depth looks the same. Annotated maps or names '
            '(--classes background NAME) show it.'
        ]
    notes += [] if known else [size_note(observed.size)]
    return RecognisedMachine(config, notes, bool(annotated) and known)
