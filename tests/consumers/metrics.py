#!/usr/bin/python3
"""Parses metrics with the parsers of Prometheus and prints the families as JSON.

    pmc-lite metrics | metrics.py openmetrics
    pmc-lite metrics --format prometheus | metrics.py prometheus
    metrics.py URL COUNT     queries an exporter COUNT times in parallel, half of them in each format
"""
import json
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

ACCEPT = {
    "openmetrics": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "prometheus": "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
}


def parse(parser, text):
    return [
        {
            "name": family.name,
            "type": family.type,
            "help": family.documentation,
            "unit": family.unit,
            "samples": [[sample.name, sample.labels, sample.value] for sample in family.samples],
        }
        for family in parser(text)
    ]


def scrape(url, kind):
    request = urllib.request.Request(url, headers={"Accept": ACCEPT[kind]})
    with urllib.request.urlopen(request, timeout=20) as response:
        text = response.read().decode()
        content_type = response.headers["Content-Type"].split(";")[0]
    assert content_type == ("application/openmetrics-text" if kind == "openmetrics" else "text/plain"), content_type
    return parse(openmetrics if kind == "openmetrics" else prometheus, text)


def main():
    if sys.argv[1] in ACCEPT:
        parser = openmetrics if sys.argv[1] == "openmetrics" else prometheus
        result = parse(parser, sys.stdin.read())
    else:
        url, count = sys.argv[1], int(sys.argv[2])
        kinds = (list(ACCEPT) * count)[:count]
        with ThreadPoolExecutor(count) as pool:
            result = list(pool.map(lambda kind: len(scrape(url, kind)), kinds))
    print(json.dumps(result))


main()
