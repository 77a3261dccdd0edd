"""Bindings: what they permit, when they are asked for again, and how the use of a key that is recorded begins and ends."""
from keeper_rig import *  # noqa: F401,F403


def each_asks(agent, c, cell):
    bind(agent, c.number, cell, 9, mechanisms=(GCM,), each=1)
    ok(c.call('bind_check', PLACE + u8(ENCRYPT) + u64(9) + u64(GCM) + bs(gcm()))['status'] == 'ok', 'bind_check is no use')
    for n in range(3):
        c.send('operate', operate(3, ENCRYPT, handle=9, mechanism=GCM, params=gcm(), data=b'text'))
        asked = agent.receive()
        ok(asked['type'] == MESSAGES['resolve'] and asked['body'][-1] == WHY_USE | WHY_BOUND, 'each use asks, though the binding is there')
        agent.send('resolve', id=asked['id'], client=c.number, status=97 if n == 1 else 0, reply=True)
        said = output(c.receive())
        ok(said == 'key_function_not_permitted' if n == 1 else len(said) == 20, 'and ends as the agent says')
    c.send('operate', operate(BEGIN, ENCRYPT, 8, handle=9, mechanism=GCM, params=gcm(), data=b'a'))
    asked = agent.receive()
    agent.send('resolve', id=asked['id'], client=c.number, reply=True)
    begun = output(c.receive())
    ok(isinstance(begun, bytes), 'a multi-part operation asks when it begins')
    more = operate(FINAL, ENCRYPT, 8, data=b'b')
    ok(len(begun + output(c.call('operate', more))) == 18, 'and not again')
    c.send('operate', operate(3, ENCRYPT, handle=9, mechanism=CTR, params=b''))
    asked = agent.receive()
    agent.send('resolve', id=asked['id'], client=c.number, status=97, reply=True)
    ok(c.receive()['status'] == 'key_function_not_permitted', 'a mechanism that is not allowed is the agent\'s to refuse')
    uses_end(agent, c)


def leave(agent, c, flags, number=0, **rest):
    """A use that the agent permits, asking how it ends: the leave's number, and what the module got."""
    c.send('operate', operate(flags, handle=9, number=number, **rest))
    asked = agent.receive()
    agent.send('resolve', u8(1), id=asked['id'], client=c.number, reply=True)
    return asked['id'], output(c.receive())


def ended(agent, c):
    """The next event, which is use_ended: leave, operation, status."""
    event = agent.receive()
    body = Reader(event['body'])
    number, client, slot, handle, mechanism = (body.u64() for _ in range(5))
    operation, status = body.u8(), body.u32()
    ok((event['type'], client, slot, handle, mechanism, body.data) == (MESSAGES['use_ended'], c.number, 1, 9, GCM, b''),
       'the event says which client, key and mechanism')
    return number, operation, STATUSES[status]


def uses_end(agent, c):
    aead = dict(operation=ENCRYPT, mechanism=GCM, params=gcm())
    number, sealed = leave(agent, c, 3, data=b'text', **aead)
    ok(ended(agent, c) == (number, ENCRYPT, 'ok'), 'how a use ended is told, once the agent asked for it')
    open_ = dict(operation=DECRYPT, mechanism=GCM, params=gcm())
    number, said = leave(agent, c, 3, data=bytes(20), **open_)
    ok(said == 'encrypted_data_invalid' and ended(agent, c) == (number, DECRYPT, said), 'of one that failed, its status')
    number, said = leave(agent, c, 3, data=sealed, operation=DECRYPT, mechanism=GCM, params=gcm(iv=b''))
    ok(isinstance(said, str) and ended(agent, c) == (number, DECRYPT, said), 'also of one whose parameter was wrong')
    number, _ = leave(agent, c, BEGIN, 20, data=sealed[:7], **open_)
    c.call('operate', operate(0, DECRYPT, 20, data=sealed[7:9]))
    ok(output(c.call('operate', operate(FINAL, DECRYPT, 20, data=sealed[9:]))) == b'text', 'a use in parts')
    ok(ended(agent, c) == (number, DECRYPT, 'ok'), 'ends once, with its last part')
    number, _ = leave(agent, c, BEGIN, 21, data=b'', **open_)
    output(c.call('operate', operate(FINAL, DECRYPT, 21, data=bytes(20))))
    ok(ended(agent, c) == (number, DECRYPT, 'encrypted_data_invalid'), 'or as that failed')
    number, _ = leave(agent, c, BEGIN, 22, data=b'', **aead)
    c.call('operate', operate(CANCEL, ENCRYPT, 22))
    ok(ended(agent, c) == (number, ENCRYPT, 'operation_lost'), 'one that is cancelled is lost')
    number, _ = leave(agent, c, BEGIN, 23, data=b'', **aead)
    second, _ = leave(agent, c, BEGIN, 23, data=b'', **aead)
    ok(ended(agent, c) == (number, ENCRYPT, 'operation_lost'), 'as is one that another replaces')
    c.call('operate', operate(0, DECRYPT, 23, data=b''))
    ok(ended(agent, c) == (second, ENCRYPT, 'operation_not_initialized'), 'what a wrong call ends, ends with its status')


def bindings(k, agent):
    c = k.module()
    opened = agent.receive()
    while Reader(opened['body']).u64() < c.number: # of one that was leaving when the agent came
        opened = agent.receive()
    ok(opened['type'] == MESSAGES['client_opened'] and Reader(opened['body']).u64() == c.number, 'the agent is told of a client')
    cell, public, _ = secret(agent, bytes(16))
    ok(public == {VALUE_LEN: u64(16), 0x90: bytes.fromhex('66e94b')}, "an AES key's check value is of a block of zeros")
    c.send('operate', operate(3, ENCRYPT, handle=7, mechanism=GCM, params=gcm(), data=b'text'))
    asked = agent.receive()
    body = Reader(asked['body'])
    ok((asked['type'], asked['client'], body.take(17), body.u8(), body.u64(), body.u64(), body.u8(), body.data)
       == (MESSAGES['resolve'], c.number, PLACE, ENCRYPT, 7, GCM, WHY_USE, b''), 'a miss asks the agent')
    agent.send('resolve', id=asked['id'], client=c.number, status=97, reply=True)
    ok(c.receive()['status'] == 'key_function_not_permitted', 'whose refusal the module gets')
    c.send('operate', operate(3, ENCRYPT, handle=7, mechanism=GCM, params=gcm(), data=b'text'))
    asked = agent.receive()
    agent.send('bind', u64(c.number) + u64(1) + u64(7) + u32(2) + u64(cell) + u32(1) + u64(GCM) + u8(0) + u32(0) + u8(0))
    agent.send('resolve', id=asked['id'], client=c.number, reply=True)
    ok(agent.answer('bind')['status'] == 'ok' and len(output(c.receive())) == 20, 'bind and an answer without waiting between: it goes on')
    first = output(c.call('operate', operate(3, ENCRYPT, handle=7, mechanism=GCM, params=gcm(), data=b'text')))
    ok(len(first) == 20, 'from then on it does not ask')
    ok(output(c.call('operate', operate(3, ENCRYPT, handle=7, mechanism=CTR, params=b''))) == 'mechanism_invalid',
       'a mechanism that is not allowed is refused')
    reply = c.call('random', u32(1))
    agent.call('unbind', u64(0) + u64(1) + u64(7))
    ok(c.call('random', u32(1))['epoch'] > reply['epoch'], 'unbind changes the epoch')
    bind(agent, c.number, cell, 8, login=1, credits=1)
    check = c.call('bind_check', PLACE + u8(ENCRYPT) + u64(8) + u64(GCM) + bs(gcm()))
    ok(check['body'] == u8(3) + u32(16) + u32(AES) + u32(128) + u8(1), 'bind_check knows of context-specific login')
    run = lambda: output(c.call('operate', operate(3, ENCRYPT, handle=8, mechanism=GCM, params=gcm(), data=b'')))
    ok(len(run()) == 16 and run() == 'user_not_logged_in', 'which is good for one operation')
    each_asks(agent, c, cell)
    other = k.module()
    agent.receive()
    bind(agent, other.number, cell, 9, mechanisms=(GCM,), each=1)
    number, _ = leave(agent, other, BEGIN, 1, operation=ENCRYPT, mechanism=GCM, params=gcm(), data=b'')
    late = dict(flags=3, operation=ENCRYPT, handle=9, mechanism=GCM, params=gcm(), data=b'')
    other.send('operate', operate(**late))
    asked = agent.receive()
    other.sock.close()
    ok(ended(agent, other) == (number, ENCRYPT, 'operation_lost'), 'a program that goes leaves nothing that has not ended')
    ok(agent.receive()['type'] == MESSAGES['client_closed'], 'which is told before its going')
    agent.send('resolve', u8(1), id=asked['id'], client=other.number, reply=True)
    event = agent.receive()
    ok((event['type'], event['body'][:8], event['body'][40:]) == (MESSAGES['use_ended'], u64(asked['id']), u8(0) + u32(4)),
       'a leave that came too late was not used')
    other = k.module()
    agent.receive()
    other.send('operate', operate(3, ENCRYPT, handle=8, mechanism=GCM, params=gcm(), data=b''))
    asked = agent.receive()
    ok(asked['client'] == other.number, "one client's binding is no other's")
    agent.send('resolve', id=asked['id'], client=other.number, reply=True)
    for _ in range(31):
        asked = agent.receive()
        agent.send('resolve', id=asked['id'], client=other.number, reply=True)
    ok(other.receive()['status'] == 'busy', 'an agent that binds nothing is not asked for ever')
    mine, _, _ = secret(agent, bytes(16), owner=other.number)
    bind(agent, other.number, mine, 9)
    other.sock.close()
    closing = agent.receive()
    ok(closing['type'] == MESSAGES['client_closed'] and Reader(closing['body']).u64() == other.number, 'the agent is told of the end')
    ok(agent.call('cell_note', u64(mine) + bs(b'x'))['status'] == 'cell_unknown', "a client's cells end with it")
    return c
