/**
 * The program between ExaBGP and the agent. ExaBGP starts it and is asked through its pipes; it answers on a Unix socket, one command
 * for each connection, and remembers what ExaBGP said last of each session. It ends with ExaBGP. Python, because ExaBGP brings it.
 */
export const helperText = String.raw`#!/usr/bin/python3 -IS
# Written by Romana; what is changed here is overwritten.
import json, os, select, socket, sys, time

events = {}
buffered = b''
owed = 0  # answers to commands whose asker gave up waiting


def lines():
    global buffered
    chunk = os.read(0, 65536)
    if chunk == b'':
        sys.exit(0)  # ExaBGP is gone
    *whole, buffered = (buffered + chunk).split(b'\n')
    return [line.decode('utf-8', 'replace') for line in whole]


def event(line):
    if not line.startswith('{'):
        return False
    try:
        message = json.loads(line)
        neighbour = message['neighbor']
        peer = neighbour['address']['peer']
        seen = events.setdefault(peer, {'reason': ''})
        seen['state'] = neighbour['state']
        seen['since'] = time.monotonic()
        if neighbour['state'] == 'up':
            seen['reason'] = ''
        elif neighbour.get('reason'):
            seen['reason'] = neighbour['reason']
    except (KeyError, TypeError, ValueError):
        pass
    return True


def ask(command):
    global owed
    os.write(1, command.encode() + b'\n')
    owed += 1
    answer, deadline = [], time.monotonic() + 5
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([0], [], [], left)[0]:
            return ['timeout']
        for line in lines():
            if event(line):
                continue
            if owed == 1:
                answer.append(line)
            if line in ('done', 'error'):
                owed -= 1
        if owed == 0:
            return answer


def serve(client):
    client.settimeout(2)
    try:
        text = b''
        while not text.endswith(b'\n'):
            chunk = client.recv(65536)
            if chunk == b'' or len(text) > 65536:
                return
            text += chunk
        command = text.decode('utf-8', 'replace').strip()
        if command == 'events':
            now = time.monotonic()
            told = {peer: dict(seen, since=now - seen['since']) for peer, seen in events.items()}
            answer = [json.dumps(told), 'done']
        else:
            answer = ask(command)
        client.sendall(('\n'.join(answer) + '\n').encode())
    except OSError:
        pass  # the asker is gone


def main():
    path = sys.argv[1]
    os.umask(0o177)
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen(8)
    while True:
        ready = select.select([0, server], [], [])[0]
        if 0 in ready:
            global owed
            for line in lines():
                if not event(line) and line in ('done', 'error') and owed > 0:
                    owed -= 1
        if server in ready:
            client, _ = server.accept()
            with client:
                serve(client)


main()
`;
